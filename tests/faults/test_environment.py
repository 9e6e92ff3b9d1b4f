"""The variables that say how to reach the hub: token, proxies, offline mode."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub
from support.outages import HURRY
from support.proxy import Proxy
from support.sync import run_sync, tree

TOKEN = "hf_aTokenThatMustNotBeSeen"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as running:
        yield running


def test_the_token_goes_to_the_hub_and_never_to_the_second_origin(
    spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    result = run_sync(spec, volume, hub, env={"HF_TOKEN": TOKEN})

    assert result.returncode == 0, result.stderr
    api = [request for request in hub.requests if request.origin == "api"]
    assert {request.kind for request in api} == {"model_info", "tree", "resolve"}
    assert {request.headers.get("authorization") for request in api} == {f"Bearer {TOKEN}"}
    assert hub.count("blob") == 1
    assert not hub.leaked_authorization


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", match=("blob",), status=403, times=2),
        Fault("status", match=("blob",), status=500, times=2),
        Fault("drop_rst", match=("blob",), after_bytes=1000, times=2),
        Fault("wrong_bytes", match=("blob",), times=1),
        Fault("ignore_range", match=("blob",)),
    ],
    ids=["expired", "500", "reset", "wrong bytes", "no ranges"],
)
def test_the_token_stays_at_the_hub_when_a_transfer_is_taken_up_again(
    fault: Fault, large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(fault)

    result = run_sync(large_spec, volume, hub, *HURRY, env={"HF_TOKEN": TOKEN})

    assert result.returncode == 0, result.stderr
    assert not hub.leaked_authorization


def test_the_token_is_written_nowhere(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    hub.add_fault(Fault("status", match=("blob",), status=500))

    result = run_sync(spec, volume, hub, "--log-format", "json", *HURRY, env={"HF_TOKEN": TOKEN})

    assert result.returncode == 1
    told = result.stdout + result.stderr + json.dumps(result.report)
    assert TOKEN not in told
    written = [path for path in volume.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert written == []


def test_a_token_in_a_file_is_read(spec: dict[str, Any], volume: Path, hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")

    result = run_sync(spec, volume, hub, env={"HF_TOKEN_PATH": str(tmp_path / "token")})

    assert result.returncode == 0, result.stderr
    assert hub.requests[0].headers.get("authorization") == f"Bearer {TOKEN}"


def test_a_complete_volume_starts_in_offline_mode(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    assert run_sync(spec, volume, hub).returncode == 0
    hub.reset_log()

    result = run_sync(spec, volume, hub, env={"HF_HUB_OFFLINE": "1"})

    assert result.returncode == 0, result.stderr
    assert hub.requests == []


@pytest.mark.parametrize("state", ["new", "partial"])
def test_an_incomplete_volume_is_refused_in_offline_mode_without_a_request(
    state: str, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    if state == "partial":
        assert run_sync(spec, volume, hub).returncode == 0
        (volume / "small" / "config.json").unlink()
        hub.reset_log()

    result = run_sync(spec, volume, hub, env={"HF_HUB_OFFLINE": "1"})

    assert result.returncode == 1
    assert result.reasons() == {"small": "HubUnreachable"}
    assert "HF_HUB_OFFLINE" in result.stderr
    assert hub.requests == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_every_request_goes_through_the_proxy(
    name: str, proxy: Proxy, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    result = run_sync(spec, volume, hub, *HURRY, env={name: f"http://{proxy.address}"})

    assert result.returncode == 0, result.stderr
    assert len(proxy.requests) == len(hub.requests) == 6, (
        "a listing of two requests, three files, one of them on the second origin"
    )
    assert all(line.startswith("GET http://127.0.0.1:") for line in proxy.requests)


@pytest.mark.parametrize(
    "value", ["127.0.0.1", "*", "localhost,127.0.0.1", "10.0.0.0/8, 127.0.0.0/8,.svc", "[::1],127.0.0.1"]
)
def test_hosts_in_no_proxy_are_asked_directly(
    value: str, proxy: Proxy, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    result = run_sync(spec, volume, hub, *HURRY, env={"HTTP_PROXY": f"http://{proxy.address}", "NO_PROXY": value})

    assert result.returncode == 0, result.stderr
    assert proxy.requests == []


def test_a_proxy_with_a_password_gets_it_with_every_request_and_the_hub_never(
    proxy: Proxy, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    result = run_sync(spec, volume, hub, *HURRY, env={"HTTP_PROXY": f"http://me:p%40ss@{proxy.address}"})

    assert result.returncode == 0, result.stderr
    expected = f"proxy-authorization: basic {base64.b64encode(b'me:p@ss').decode()}".lower()
    without = [head.partition("\r\n")[0] for head in proxy.heads if expected not in head.lower()]
    assert without == []
    assert not any("proxy-authorization" in request.headers for request in hub.requests)


def test_a_proxy_that_is_away_counts_as_a_hub_that_is_away(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    result = run_sync(spec, volume, hub, *HURRY, env={"HTTP_PROXY": "http://127.0.0.1:9"})

    assert result.returncode == 1
    assert result.reasons() == {"small": "HubUnreachable"}
    assert "by the proxy 127.0.0.1:9 (HTTP_PROXY) (Connection refused)" in result.stderr
    assert hub.requests == []
    assert tree(volume) == {}


@pytest.mark.parametrize(
    "name",
    ["HF_ENDPOINT", "SSL_CERT_FILE", "HTTP_PROXY", "HF_HUB_OFFLINE", "REQUESTS_CA_BUNDLE", "NO_PROXY", "HF_TOKEN"],
)
def test_a_secret_in_the_wrong_variable_is_told_to_nobody(
    name: str, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.stop()
    secret = "postgres-pa55word"

    result = run_sync(spec, volume, hub, *HURRY, env={name: secret})

    assert result.returncode in (1, 2)
    assert secret not in result.stdout + result.stderr + json.dumps(result.report)
