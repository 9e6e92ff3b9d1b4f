"""``python -m e2e.in_pod.client http://SERVICE:8000``: asks for a video and prints what the MP4 holds, as JSON."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

import httpx2

from inference_server.media import decode, png, wav

LIMIT_S = 120


def main(endpoint: str) -> int:
    with httpx2.Client(base_url=endpoint, timeout=30) as client:
        video = client.post(
            "/v1/videos",
            data={"prompt": "A woman talks", "steps": "2"},
            files={"input_reference": ("face.png", png(96, 64)), "audio": ("voice.wav", wav(1.0))},
        )
        video.raise_for_status()
        job = wait(client, video.json()["id"])
        if job["status"] != "completed":
            print(json.dumps(job), file=sys.stderr)
            return 1
        content = client.get(f"/v1/videos/{job['id']}/content")
        content.raise_for_status()
    print(json.dumps(asdict(decode(content.content))))
    return 0


def wait(client: httpx2.Client, video: str) -> dict[str, str]:
    deadline = time.monotonic() + LIMIT_S
    while True:
        job: dict[str, str] = client.get(f"/v1/videos/{video}").json()
        if job["status"] not in ("queued", "in_progress") or time.monotonic() > deadline:
            return job
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
