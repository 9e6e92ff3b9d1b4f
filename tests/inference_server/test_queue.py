"""The bounded queue: accepted or 429, for everybody, at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from inference_server.drawing_engine import DrawingEngine, ThreadGate
from inference_server.harness import TIMEOUT_S, RunningServer, config_for, error_of, running
from inference_server.media import png, wav

CLIENTS = 50


async def ask_all_at_once(url: str, clients: int) -> list[httpx.Response]:
    files = [("input_reference", ("face.png", png())), ("audio", ("voice.wav", wav()))]
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=limits) as client:
        posts = (client.post("/v1/videos", data={"prompt": "p", "steps": "1"}, files=files) for _ in range(clients))
        return await asyncio.gather(*posts)


def test_fifty_clients_at_once_are_accepted_or_get_429_and_nobody_hangs(held: RunningServer, gate: ThreadGate) -> None:
    answers = asyncio.run(ask_all_at_once(held.url, CLIENTS))
    accepted = [answer.json()["id"] for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(accepted) + len(refused) == CLIENTS
    assert len(accepted) == held.service.config.max_jobs
    for answer in refused:
        assert (error_of(answer)["type"], error_of(answer)["code"]) == ("rate_limit_error", "queue_full")
        assert 1 <= int(answer.headers["retry-after"]) <= 120
    gate.open()
    for video_id in accepted:
        held.wait_status(video_id, "completed")
    assert held.metric("multitalk_requests_total", status="rejected") == len(refused)


def test_videos_are_made_one_at_a_time_in_the_order_of_the_requests(held: RunningServer, gate: ThreadGate) -> None:
    made = [held.create(prompt=f"number {number}", steps="1") for number in range(3)]
    gate.wait_for_arrival(1)
    statuses = [held.video(video_id)["status"] for video_id in made]
    assert statuses == ["in_progress", "queued", "queued"]
    gate.open()
    done = [held.wait_status(video_id, "completed") for video_id in made]
    assert [video["prompt"] for video in done] == ["number 0", "number 1", "number 2"]
    assert held.metric("multitalk_generation_seconds_count") == 3


def test_a_cancelled_waiting_video_makes_room_for_the_next(tmp_path: Path, gate: ThreadGate) -> None:
    with running(config_for(tmp_path, queue=1), DrawingEngine(gate)) as server:
        server.create()
        waiting = server.create()
        assert server.post().status_code == 429
        server.http.delete(f"/v1/videos/{waiting}")
        assert server.post().status_code == 200


def test_without_a_queue_one_video_at_a_time_is_accepted(tmp_path: Path, gate: ThreadGate) -> None:
    with running(config_for(tmp_path, queue=0), DrawingEngine(gate)) as server:
        first = server.create()
        assert server.post().status_code == 429
        gate.open()
        server.wait_status(first, "completed")
        assert server.post().status_code == 200


def test_a_refused_request_does_not_count(tmp_path: Path, gate: ThreadGate) -> None:
    with running(config_for(tmp_path, queue=0), DrawingEngine(gate)) as server:
        assert server.post(image=b"no picture").status_code == 400
        assert server.post().status_code == 200


def test_a_client_is_refused_by_a_full_queue_though_its_upload_is_large(held: RunningServer, gate: ThreadGate) -> None:
    for _ in range(held.service.config.max_jobs):
        held.create()
    answer = held.post(voices=(b"v" * 900_000,))
    assert answer.status_code == 429
    assert len(list(held.service.scratch.root.glob("video_*"))) == held.service.config.max_jobs
