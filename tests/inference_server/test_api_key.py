"""With a file of keys, /v1 is for clients that send one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from inference.server.api_keys import KeysUnusable, read_keys
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import TIMEOUT_S, RunningServer, config_for, error_of, running
from inference_server.media import png

KEYS = ("0123456789abcdef", "fedcba9876543210")
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[RunningServer]:
    file = tmp_path / "keys"
    file.write_text("\n".join(KEYS) + "\n")
    with running(config_for(tmp_path, api_key_file=file), DrawingEngine()) as server:
        yield server


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/static/style.css", "/openapi.json", "/healthz", "/readyz", "/metrics"]
)
def test_the_page_probes_and_metrics_need_no_key(locked: RunningServer, path: str) -> None:
    assert locked.http.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/models", "/v1/videos/video_0/content", "/unknown", "/static"])
@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {KEYS[0]}x",
        f"Basic {KEYS[0]}",
        KEYS[0],
        f"Bearer {KEYS[0][:-1]}",
        "Bearer \xfc",
    ],
)
def test_all_else_does(locked: RunningServer, path: str, sent: str | None) -> None:
    headers = {} if sent is None else {b"authorization": sent.encode("latin-1")}
    answer = locked.http.get(path, headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert error_of(answer)["code"] == "invalid_api_key"


@pytest.mark.parametrize("key", KEYS)
def test_each_of_the_keys_opens_it(locked: RunningServer, key: str) -> None:
    for scheme in ("Bearer", "bearer"):
        assert locked.http.get("/v1/videos", headers={"authorization": f"{scheme} {key}"}).status_code == 200


def test_openais_client_sends_its_key_and_reads_the_refusal_after_a_long_upload(locked: RunningServer) -> None:
    with openai.OpenAI(base_url=f"{locked.url}/v1", api_key=KEYS[0], timeout=TIMEOUT_S) as client:
        assert client.videos.create(prompt="p", input_reference=png()).object == "video"
    wrong = openai.OpenAI(base_url=f"{locked.url}/v1", api_key="wrong", timeout=TIMEOUT_S, max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError):
        wrong.videos.create(prompt="p", input_reference=b"x" * 900_000)


def test_a_key_is_no_way_around_the_rule_against_other_sites(locked: RunningServer) -> None:
    headers = {"authorization": f"Bearer {KEYS[0]}", "origin": "https://evil.example"}
    assert locked.http.delete("/v1/videos/video_0", headers=headers).status_code == 403


def test_the_file_has_a_key_on_each_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("\n".join(KEYS) + "\n")
    assert read_keys(file) == KEYS
    assert read_keys(None) == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"\n", "holds no key"),
        (b"short", "shorter than 16"),
        (b"\xff" * 20, "not text"),
    ],
    ids=["no file", "empty", "short", "binary"],
)
def test_a_file_that_cannot_be_meant_is_refused_without_showing_keys(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(KeysUnusable, match=f"^reading --api-key-file: .*{reason}") as caught:
        read_keys(file)
    assert "short" not in str(caught.value).replace("shorter", "")
