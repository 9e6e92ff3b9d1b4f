"""DELETE of what is not finished."""

from __future__ import annotations

from inference_server.drawing_engine import ThreadGate
from inference_server.harness import RunningServer, error_of
from support.waiting import eventually


def test_a_video_cancelled_in_mid_generation_frees_the_device_for_the_next(
    held: RunningServer, gate: ThreadGate
) -> None:
    first, second = held.create(steps="50"), held.create(steps="1")
    gate.allow(2)
    gate.wait_for_arrival(3)
    assert held.http.delete(f"/v1/videos/{first}").json()["deleted"] is True
    cancelled = held.video(first)
    assert (cancelled["status"], cancelled["error"], cancelled["progress"]) == ("cancelled", None, 4)
    held.wait_status(second, "in_progress")
    gate.open()
    held.wait_status(second, "completed")
    assert not held.service.scratch.folder(first).exists()
    assert held.metric("multitalk_requests_total", status="cancelled") == 1


def test_a_cancelled_waiting_video_is_never_generated(held: RunningServer, gate: ThreadGate) -> None:
    first, second = held.create(steps="1"), held.create(steps="1")
    held.http.delete(f"/v1/videos/{second}")
    assert held.video(second)["status"] == "cancelled"
    assert not held.service.scratch.folder(second).exists()
    gate.open()
    held.wait_status(first, "completed")
    assert gate.arrived == 1
    assert held.metric("multitalk_requests_total", status="cancelled") == 1


def test_a_cancelled_video_can_be_deleted_for_good(held: RunningServer, gate: ThreadGate) -> None:
    video_id = held.create(steps="50")
    gate.wait_for_arrival(1)
    held.http.delete(f"/v1/videos/{video_id}")
    held.http.delete(f"/v1/videos/{video_id}")
    assert held.http.get(f"/v1/videos/{video_id}").status_code == 404
    assert held.http.delete(f"/v1/videos/{video_id}").status_code == 404
    eventually(lambda: not held.service.scratch.folder(video_id).exists(), "the folder is removed")


def test_the_content_of_a_cancelled_video_is_refused(held: RunningServer, gate: ThreadGate) -> None:
    video_id = held.create()
    held.http.delete(f"/v1/videos/{video_id}")
    answer = held.http.get(f"/v1/videos/{video_id}/content")
    assert answer.status_code == 409
    assert "cancelled" in error_of(answer)["message"]
