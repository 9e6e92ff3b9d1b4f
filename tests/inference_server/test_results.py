"""How long results are kept, how many, how much of the disk, and what a restart leaves of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.server.scratch import Scratch, ScratchError
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, running
from support.clock import Clock
from support.waiting import eventually


def finished(server: RunningServer) -> str:
    video_id = server.create(steps="1")
    server.wait_status(video_id, "completed")
    return video_id


def test_a_video_is_gone_once_its_lifetime_is_over_and_its_file_with_the_next_sweep(tmp_path: Path) -> None:
    clock = Clock()
    with running(config_for(tmp_path, result_ttl_s=60.0), DrawingEngine(), clock=clock) as server:
        video_id = finished(server)
        assert server.video(video_id)["expires_at"] == clock.now_s + 60
        clock.now_s += 59
        assert server.http.get(f"/v1/videos/{video_id}/content").status_code == 200
        clock.now_s += 1
        assert server.http.get(f"/v1/videos/{video_id}").status_code == 404
        assert server.http.get(f"/v1/videos/{video_id}/content").status_code == 404
        assert server.http.get("/v1/videos").json()["data"] == []
        server.service.sweep()
        assert not server.service.scratch.folder(video_id).exists()


def test_expired_files_are_removed_without_anybody_asking(tmp_path: Path) -> None:
    with running(config_for(tmp_path, result_ttl_s=0.4), DrawingEngine()) as server:
        video_id = server.create(steps="1")
        eventually(lambda: server.metric("multitalk_generation_seconds_count") == 1, "it is counted")
        eventually(lambda: not server.service.scratch.folder(video_id).exists(), "its folder is removed")


def test_an_unfinished_video_does_not_expire(tmp_path: Path, gate: ThreadGate) -> None:
    clock = Clock()
    with running(config_for(tmp_path, result_ttl_s=60.0), DrawingEngine(gate), clock=clock) as server:
        video_id = server.create()
        gate.wait_for_arrival(1)
        clock.now_s += 1000
        server.service.sweep()
        gate.open()
        server.wait_status(video_id, "completed")


def test_only_the_newest_results_are_kept(tmp_path: Path) -> None:
    with running(config_for(tmp_path, max_results=2), DrawingEngine()) as server:
        made = [finished(server) for _ in range(3)]
        eventually(lambda: server.http.get(f"/v1/videos/{made[0]}").status_code == 404, "the oldest is forgotten")
        assert [video["id"] for video in server.http.get("/v1/videos").json()["data"]] == made[:0:-1]
        eventually(lambda: not server.service.scratch.folder(made[0]).exists(), "its folder is removed")


def test_results_together_stay_within_the_scratch_budget(tmp_path: Path) -> None:
    with running(config_for(tmp_path, queue=0), DrawingEngine()) as server:
        size = server.service.scratch.result(finished(server)).stat().st_size
    mib = 2**20
    tight = config_for(tmp_path, queue=0, scratch_gib=(1 + 2.5 * size / mib) / 1024)
    with running(tight, DrawingEngine()) as server:
        made = [finished(server) for _ in range(4)]
        eventually(lambda: len(server.http.get("/v1/videos").json()["data"]) == 2, "two are left")
        assert server.http.get(f"/v1/videos/{made[3]}/content").status_code == 200
        assert server.metric("multitalk_results_bytes") == 2 * size


def test_a_restart_clears_what_a_former_server_left_and_nothing_else(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    (tmp_path / "video_0123").mkdir()
    (tmp_path / "video_0123" / "part-1").write_bytes(b"upload")
    (tmp_path / "notes.txt").write_text("mine")
    scratch.open()
    assert scratch.recover(lambda *_: None) == []
    scratch.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "notes.txt"]


def test_two_servers_cannot_share_a_scratch_directory(tmp_path: Path) -> None:
    first, second = Scratch(tmp_path), Scratch(tmp_path)
    first.open()
    with pytest.raises(ScratchError, match=r"another server uses .* --scratch"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_a_scratch_directory_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ScratchError, match=r"preparing --scratch .*file/scratch"):
        Scratch(tmp_path / "file" / "scratch").open()
