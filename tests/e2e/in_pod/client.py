"""``python -m e2e.in_pod.client http://SERVICE:8000``: asks for a video and prints what the MP4 holds, as JSON."""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from pathlib import Path

import av
import httpx2

from support.serve import write_example

LIMIT_S = 120


def main(endpoint: str) -> int:
    with tempfile.TemporaryDirectory() as folder, httpx2.Client(base_url=endpoint, timeout=30) as client:
        picture, voice = write_example(Path(folder))
        video = client.post(
            "/v1/videos",
            data={"prompt": "A woman talks", "steps": "2"},
            files={"input_reference": picture.open("rb"), "audio": voice.open("rb")},
        )
        video.raise_for_status()
        job = wait(client, video.json()["id"])
        if job["status"] != "completed":
            print(json.dumps(job), file=sys.stderr)
            return 1
        content = client.get(f"/v1/videos/{job['id']}/content")
        content.raise_for_status()
    print(json.dumps(described(content.content)))
    return 0


def wait(client: httpx2.Client, video: str) -> dict[str, str]:
    deadline = time.monotonic() + LIMIT_S
    while True:
        job: dict[str, str] = client.get(f"/v1/videos/{video}").json()
        if job["status"] not in ("queued", "in_progress") or time.monotonic() > deadline:
            return job
        time.sleep(0.2)


def described(mp4: bytes) -> dict[str, object]:
    with av.open(io.BytesIO(mp4), "r") as container:
        streams = sorted(stream.codec_context.name for stream in container.streams)
        frames = sum(1 for _ in container.decode(video=0))
    return {"bytes": len(mp4), "codecs": streams, "frames": frames}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
