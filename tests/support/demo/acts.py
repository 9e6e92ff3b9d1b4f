"""What happens in the demo, one act after the other; each says what it saw, and fails if it was something else."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from inference_server.media import decode, png, wav
from support.demo.spectator import NAMESPACE
from support.demo.stage import ROOT, Stage
from support.runner import RunRecord
from support.waiting import eventually

Json = dict[str, Any]
RELEASE, CACHE = "multitalk", "multitalk"
SERVING = "app.kubernetes.io/component=inference"
SHARD = "Wan2.1-I2V-14B-480P/diffusion_pytorch_model-00003-of-00007.safetensors"
START_S = 180.0
"""For a server to start: torch alone takes ten seconds to load, and many more on a machine that is busy."""


def multitalk_values(endpoint: str) -> Json:
    """The defaults but for the hub, the processor instead of a GPU's code, and shorter waits."""
    return {
        "sync": {"endpoint": endpoint},
        "operator": {"extraEnv": [{"name": "MODELCACHE_PROGRESS_SECONDS", "value": "0.3"}]},
        "inference": {
            "settings": {"device": "cpu"},
            "preStopSeconds": 0,
            "probes": {"startup": {"periodSeconds": 1}, "readiness": {"periodSeconds": 1}},
        },
        "networkPolicy": {"inferenceToHub": True},
    }


def minilm_values(endpoint: str) -> Json:
    """A cache of other models, for an image of one's own: no second operator, no MultiTalk."""
    manifest = yaml.safe_load((ROOT / "examples/all-minilm.yaml").read_text())
    return {
        "operator": {"enabled": False},
        "inference": {"enabled": False},
        "sync": {"endpoint": endpoint},
        "cache": {"models": manifest["spec"]["models"]},
    }


def install(stage: Stage) -> None:
    stage.install(RELEASE, multitalk_values(stage.hub.endpoint))
    stage.spectator.start()
    if stage.has_minilm:
        stage.install("all-minilm", minilm_values(stage.hub.endpoint))


def sync_and_open(stage: Stage) -> None:
    """Until the serving pod is ready."""
    pod = serving_pod(stage)
    eventually(lambda: stage.spectator.moments.get((pod, "ready")), f"{pod} is ready", START_S)
    moments = stage.spectator.moments
    # Two watches tell of it, and the later event may arrive first.
    waited_ms = max(0.0, moments[pod, "gate open"] - moments[CACHE, "complete"]) * 1000
    stage.screen.at(f"the gate of {pod} was removed {waited_ms:.0f} ms after the cache became complete")
    eventually(lambda: all_ready(stage), "every cache is Ready", START_S)
    stage.show("modelcaches")
    stage.show("pods")


def all_ready(stage: Stage) -> bool:
    caches = stage.client.list("modelcaches", NAMESPACE)
    return all((cache.get("status") or {}).get("phase") == "Ready" for cache in caches)


def make_video(stage: Stage) -> Path:
    """A request as a client sends it; returns the file."""
    with httpx.Client(base_url=server_url(stage), timeout=60, trust_env=False) as client:
        fields = "-F prompt='A woman talks' -F steps=4 -F input_reference=@face.png -F audio=@voice.wav"
        stage.screen.command(f"curl {client.base_url}/v1/videos {fields}")
        files = [("input_reference", ("face.png", png())), ("audio", ("voice.wav", wav()))]
        began = time.monotonic()
        answer = client.post("/v1/videos", data={"prompt": "A woman talks", "steps": "4"}, files=files)
        answer.raise_for_status()
        video = answer.json()["id"]
        done = eventually(lambda: _finished(client, video), "the video is made", 60)
        if done["status"] != "completed":
            raise RuntimeError(f"making the video: {done}")
        path = stage.folder / "video.mp4"
        path.write_bytes(client.get(f"/v1/videos/{video}/content").raise_for_status().content)
    seen = decode(path.read_bytes())
    stage.screen.at(
        f"video.mp4 after {time.monotonic() - began:.1f} s: {seen.width}x{seen.height}, {seen.frames} frames, "
        f"{seen.audio_seconds:.2f} s of sound, {path.stat().st_size:,} bytes (noise: the weights are made up)"
    )
    return path


def _finished(client: httpx.Client, video: str) -> Json | None:
    found: Json = client.get(f"/v1/videos/{video}").raise_for_status().json()
    return found if found["status"] in ("completed", "failed", "cancelled") else None


def start_again(stage: Stage) -> None:
    """A new pod on the complete volume: no request to the hub."""
    requests = stage.hub.count()
    run = replace_pod(stage)
    stage.screen.block(run.text)
    if "All models already complete!" not in run.text:
        raise RuntimeError(f"starting again: the volume was not complete: {run.text}")
    stage.screen.at(
        f"the init container took {run.seconds * 1000:.0f} ms, with {stage.hub.count() - requests} requests to the hub"
    )


def repair(stage: Stage) -> None:
    """One byte of one shard is wrong when the next pod starts."""
    path = stage.volume("multitalk-models") / SHARD
    stage.screen.at(f"a byte is flipped in the middle of {SHARD}")
    flip(path)
    sent = stage.hub.bytes_sent
    run = replace_pod(stage)
    stage.screen.block(run.text)
    fetched, size = stage.hub.bytes_sent - sent, path.stat().st_size
    stage.screen.at(f"fetched from the hub: {fetched:,} bytes; the shard has {size:,}")
    if fetched != size:
        raise RuntimeError(f"repairing: {fetched} bytes were fetched for a shard of {size}")


def replace_pod(stage: Stage) -> RunRecord:
    """Delete the serving pod; returns the init container's first run in the one that takes its place."""
    old = serving_pod(stage)
    stage.screen.command(f"kubectl delete pod -l {SERVING}")
    path = stage.client.path("pods", NAMESPACE, old)
    stage.client.call("DELETE", path)
    new = eventually(lambda: (name := serving_pod(stage)) != old and name, "a new pod", 30)

    def ended() -> RunRecord | None:
        return next((run for run in list(stage.runner.runs) if (run.pod, run.container) == (new, "init-sync")), None)

    found: RunRecord = eventually(ended, f"the init container of {new} has ended", START_S)
    return found


def serving_pod(stage: Stage) -> str:
    """The newest."""

    def newest() -> str:
        pods = stage.client.list("pods", NAMESPACE, SERVING)
        alive = [pod["metadata"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        return str(alive[-1]["name"]) if alive else ""

    return str(eventually(newest, "a serving pod", 30))


def server_url(stage: Stage) -> str:
    """Of the pod itself: there are no Services here."""
    pod = stage.client.get("pods", serving_pod(stage), NAMESPACE)
    return f"http://{pod['status']['podIP']}:{pod['spec']['containers'][0]['ports'][0]['containerPort']}"


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
