"""Finished videos outlive the process, if the scratch directory does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.server.scratch import RECORD, RESULT
from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import RunningServer, config_for, running
from support.clock import Clock
from support.waiting import eventually


def finished(server: RunningServer, **fields: str) -> str:
    video_id = server.create(steps="1", **fields)
    server.wait_status(video_id, "completed")
    record = server.service.scratch.folder(video_id) / RECORD
    eventually(record.exists, "the video is recorded")
    return video_id


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """The folder of the one video that a former server has left."""
    with running(config_for(tmp_path), DrawingEngine()) as server:
        return server.service.scratch.folder(finished(server))


def test_a_finished_video_is_the_same_after_a_restart(tmp_path: Path) -> None:
    with running(config_for(tmp_path), DrawingEngine()) as server:
        video_id = finished(server, prompt="Ü \u6f22\u5b57", seed="7")
        before = server.video(video_id)
        content = server.http.get(f"/v1/videos/{video_id}/content").content
    with running(config_for(tmp_path), DrawingEngine()) as server:
        assert server.video(video_id) == before
        assert server.http.get(f"/v1/videos/{video_id}/content").content == content
        assert server.http.get(f"/v1/videos/{video_id}/content?variant=thumbnail").status_code == 200
        newer = finished(server)
        assert [video["id"] for video in server.http.get("/v1/videos").json()["data"]] == [newer, video_id]
        assert server.http.delete(f"/v1/videos/{video_id}").status_code == 200
        assert not server.service.scratch.folder(video_id).exists()


def test_nothing_but_finished_videos_is_left(tmp_path: Path, gate: ThreadGate) -> None:
    with running(config_for(tmp_path, grace_s=0.0), DrawingEngine(gate)) as server:
        server.create()
        server.create()
        gate.wait_for_arrival(1)
    with running(config_for(tmp_path), DrawingEngine()) as server:
        assert server.http.get("/v1/videos").json()["data"] == []
        assert list(server.service.scratch.root.glob("video_*")) == []


def test_lifetime_and_number_of_results_count_over_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    with running(config_for(tmp_path, result_ttl_s=60.0), DrawingEngine(), clock=clock) as server:
        old = finished(server)
        clock.now_s += 50
        made = [finished(server) for _ in range(3)]
    clock.now_s += 20
    with running(config_for(tmp_path, result_ttl_s=60.0, max_results=2), DrawingEngine(), clock=clock) as server:
        assert [video["id"] for video in server.http.get("/v1/videos").json()["data"]] == made[:0:-1]
        assert not server.service.scratch.folder(old).exists()
        assert server.video(made[2])["expires_at"] == clock.now_s + 40
    with running(config_for(tmp_path, result_ttl_s=10.0), DrawingEngine(), clock=clock) as server:
        assert server.http.get("/v1/videos").json()["data"] == []


def changed(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        record = json.loads((folder / RECORD).read_text())
        (folder / RECORD).write_text(json.dumps(record | changes))

    return change


def linked(folder: Path) -> None:
    (folder / RESULT).rename(folder.parent / "elsewhere.mp4")
    (folder / RESULT).symlink_to(folder.parent / "elsewhere.mp4")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no record": lambda folder: (folder / RECORD).unlink(),
    "no video": lambda folder: (folder / RESULT).unlink(),
    "a cut video": lambda folder: (folder / RESULT).write_bytes(b"cut"),
    "a link": linked,
    "no JSON": lambda folder: (folder / RECORD).write_text("{"),
    "another JSON": lambda folder: (folder / RECORD).write_text("[]"),
    "an endless record": lambda folder: (folder / RECORD).write_text("[" * 1_000_000),
    "another version": changed(version=2),
    "a number as text": changed(width="64"),
    "no prompt": changed(prompt=None),
    "a time that is none": changed(finished_at=float("inf")),
    "another name": lambda folder: folder.rename(folder.parent / "video_of_mine"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_a_complete_result_is_removed(tmp_path: Path, left: Path, damage: str) -> None:
    DAMAGE[damage](left)
    with running(config_for(tmp_path), DrawingEngine()) as server:
        assert server.http.get("/v1/videos").json()["data"] == []
        assert list(server.service.scratch.root.glob("video_*")) == []


def test_a_link_in_the_place_of_a_result_is_removed_and_not_what_it_leads_to(tmp_path: Path, left: Path) -> None:
    elsewhere = Path(shutil.move(left, tmp_path / "elsewhere"))
    left.symlink_to(elsewhere)
    with running(config_for(tmp_path), DrawingEngine()) as server:
        assert server.http.get("/v1/videos").json()["data"] == []
    assert (elsewhere / RESULT).exists()
    assert not left.is_symlink()


def test_a_record_from_the_future_expires_as_one_of_now(tmp_path: Path, left: Path) -> None:
    changed(finished_at=4e9)(left)
    clock = Clock()
    with running(config_for(tmp_path, result_ttl_s=60.0), DrawingEngine(), clock=clock) as server:
        assert server.video(left.name)["expires_at"] == clock.now_s + 60
