"""Syncs that have peers: what the hub is spared, what becomes of peers that fail or lie, and where tokens go."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from peers.conftest import BYTES, FILES, Origin
from support.hub import Fault, LocalHub
from support.listener import Listener
from support.lying_hub import Lie, LyingHub, Said, relisted
from support.peer import peer
from support.proxy import Proxy
from support.sync import Result, run_command, run_sync, tree
from support.waiting import eventually

HURRY = ("--stall-timeout", "1", "--give-up-after", "6")
TREE = {f"base/{name}": data for name, data in FILES.items()}


def synced(origin: Origin, name: str, *peers: str, arguments: tuple[str, ...] = (), **env: str) -> Result:
    """A new copy; every byte of it is compared."""
    volume = origin.volume(name)
    flags = [each for url in peers for each in ("--peer", url)]
    result = run_sync(origin.spec, volume, origin.hub, *flags, *HURRY, *arguments, env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert tree(volume) == TREE
    return result


def test_eight_copies_cost_the_hub_one(origin: Origin) -> None:
    with ExitStack() as stack:
        served: list[str] = []
        for number in range(8):
            synced(origin, f"copy-{number}", *served)
            served.append(stack.enter_context(peer(origin.folder / f"copy-{number}")).endpoint)
    assert origin.hub.bytes_sent == BYTES


def test_the_report_says_what_came_from_peers(origin: Origin, complete: Path) -> None:
    with peer(complete) as served:
        result = synced(origin, "copy", served.endpoint)
    assert (result.report["bytesFetched"], result.report["bytesFromPeers"]) == (BYTES, BYTES)
    assert f"{origin.hub.endpoint}" in result.stdout, "the hub that is behind them is named"
    assert origin.hub.bytes_sent == 0


def test_several_peers_give_pieces_of_one_file(origin: Origin, complete: Path) -> None:
    with peer(complete) as one, peer(complete) as other:
        synced(origin, "copy", one.endpoint, other.endpoint)

        def sent() -> list[float]:
            return [each.samples()["modelcache_serve_sent_bytes_total",] for each in (one, other)]

        eventually(lambda: sum(sent()) == BYTES, "each byte is counted once")
        assert min(sent()) > 1 << 20


def test_peers_may_come_from_the_environment(origin: Origin, complete: Path) -> None:
    with peer(complete) as served:
        synced(origin, "copy", MODELCACHE_PEERS=f"http://127.0.0.1:9, {served.endpoint}/")
    assert origin.hub.bytes_sent == 0


def test_a_file_that_no_peer_has_comes_from_the_hub(origin: Origin, complete: Path) -> None:
    (complete / "base/weights-2.safetensors").unlink()
    with peer(complete) as served:
        result = synced(origin, "copy", served.endpoint)
    assert origin.hub.bytes_sent == len(FILES["weights-2.safetensors"])
    assert "left out" not in result.stdout


def of_files(lie: Callable[[Said], Said]) -> Lie:
    return lambda kind, said: lie(said) if kind == "resolve" else said


def wrong(said: Said) -> Said:
    return replace(said, body=said.body[:-1] + bytes([said.body[-1] ^ 1])) if said.body else said


LIES: dict[str, tuple[Lie, str]] = {
    "wrong bytes": (of_files(wrong), "ChecksumMismatch"),
    "an answer that ends early": (of_files(lambda said: replace(said, body=said.body[:-1])), "HubUnreachable"),
    "ranges of another size": (
        of_files(lambda said: replace(said, head=said.head.replace(b"/20971520", b"/20971521"))),
        "SizeMismatch",
    ),
    "503": (of_files(lambda said: replace(said, head=said.head.replace(b" 20", b" 50", 1))), "HubUnreachable"),
    "429": (of_files(lambda said: replace(said, head=re.sub(rb" 20\d ", b" 429 ", said.head, count=1))), "RateLimited"),
    "a redirect": (
        of_files(lambda said: Said(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n", b"")),
        "HubUnreachable",
    ),
    "nonsense": (of_files(lambda said: Said(b"\x00" * 100 + b"\r\n\r\n", b"")), "HubUnreachable"),
    "no ranges": (
        of_files(lambda said: Said(b"HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n", bytes(1000))),
        "",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_peer_that_fails_or_lies_is_left_out_and_the_hub_gives_what_is_missing(
    name: str, origin: Origin, complete: Path
) -> None:
    lie, reason = LIES[name]
    with peer(complete) as served, LyingHub(served.endpoint) as liar:
        liar.lie = lie
        result = synced(origin, "copy", liar.endpoint)
    assert f"peer {liar.address} is left out of this run: {reason}" in result.stdout
    assert origin.hub.bytes_sent > 0


@pytest.mark.parametrize("name", LIES)
def test_beside_an_honest_peer_a_liar_costs_the_hub_nothing(name: str, origin: Origin, complete: Path) -> None:
    with peer(complete) as honest, peer(complete) as served, LyingHub(served.endpoint) as liar:
        liar.lie = LIES[name][0]
        result = synced(origin, "copy", liar.endpoint, honest.endpoint)
    assert f"peer {liar.address} is left out" in result.stdout
    assert f"peer 127.0.0.1:{honest.port} is left out" not in result.stdout
    assert origin.hub.bytes_sent == 0


def test_wrong_bytes_that_an_earlier_run_left_are_no_fault_of_the_peer_that_gives_the_rest(
    origin: Origin, complete: Path
) -> None:
    origin.hub.add_fault(Fault("status", match=("resolve",), status=503))
    volume, hurry = origin.volume("copy"), ("--stall-timeout", "1", "--give-up-after", "1")
    with peer(complete) as served, LyingHub(served.endpoint) as liar:
        liar.lie = of_files(lambda said: replace(said, body=b"\xff" * (len(said.body) // 2)))
        assert run_sync(origin.spec, volume, origin.hub, *hurry, "--peer", liar.endpoint).returncode == 1
        result = run_sync(origin.spec, volume, origin.hub, *hurry, "--peer", served.endpoint)
    assert "continuing" in result.stdout
    assert (result.returncode, tree(volume)) == (0, TREE), result.stdout
    assert "left out" not in result.stdout


def say_nothing(client: socket.socket, _number: int) -> None:
    while client.recv(1 << 16):
        pass


def test_a_peer_that_says_nothing_costs_the_file_none_of_its_time(origin: Origin) -> None:
    """Two files and two silent peers: more than --give-up-after together."""
    with Listener(say_nothing) as silent:
        result = synced(origin, "copy", f"http://{silent.address}")
    assert "left out" in result.stdout


def test_a_peer_that_is_not_there_is_no_failure_of_the_hub(origin: Origin) -> None:
    result = synced(origin, "copy", "http://127.0.0.1:9")
    assert "peer 127.0.0.1:9 is left out of this run: HubUnreachable" in result.stdout


@pytest.mark.parametrize("pinned", [False, True], ids=["listed by the hub", "listed by the peer"])
def test_peers_are_asked_by_no_proxy_though_the_hub_is(pinned: bool, origin: Origin, complete: Path) -> None:
    """The proxy is the way out of the cluster, and would read the token."""
    arguments = ("--pins", str(pins_of(origin, complete))) if pinned else ()
    with peer(complete) as served, Proxy() as proxy:
        way, token = f"http://{proxy.address}", "peer-secret"
        synced(origin, "copy", served.endpoint, arguments=arguments, HTTP_PROXY=way, MODELCACHE_PEER_TOKEN=token)
    assert [head for head in proxy.heads if served.endpoint in head or token in head] == []
    assert pinned or proxy.heads, "the hub is asked by it"
    assert origin.hub.bytes_sent == 0


# Pins


def pins_of(origin: Origin, volume: Path) -> Path:
    path = origin.folder / "pins.json"
    path.write_text(run_command("status", origin.spec, volume, "--json").stdout)
    return path


def test_with_pins_a_hub_that_is_down_stops_nobody(origin: Origin, complete: Path) -> None:
    pins = pins_of(origin, complete)
    origin.hub.stop()
    with peer(complete) as served:
        synced(origin, "copy", served.endpoint, arguments=("--pins", str(pins)))


def shorter(kind: str, said: Said) -> Said:
    """A listing with one file less."""
    if kind != "tree":
        return said
    return relisted(said, lambda listed: [each for each in listed if "tokenizer" not in each["path"]])


def foreign(kind: str, said: Said) -> Said:
    """A listing whose small file is another one."""
    if kind != "tree":
        return said
    return relisted(said, lambda listed: [each | ({"oid": "0" * 40} if "lfs" not in each else {}) for each in listed])


def test_a_listing_is_not_followed_to_where_a_peer_redirects_it(origin: Origin, complete: Path) -> None:
    pins = pins_of(origin, complete)
    heard: list[dict[str, str]] = []
    with peer(complete) as served, LyingHub(served.endpoint) as liar, LyingHub(served.endpoint) as elsewhere:
        elsewhere.heard = heard.append
        head = f"HTTP/1.1 307 Elsewhere\r\nLocation: {elsewhere.endpoint}/\r\nContent-Length: 0\r\n\r\n".encode()
        liar.lie = lambda kind, said: said if kind == "resolve" else Said(head, b"")
        result = synced(origin, "copy", liar.endpoint, arguments=("--pins", str(pins)))
    assert heard == []
    assert f"peer {liar.address} is left out" in result.stdout


def larger(kind: str, said: Said) -> Said:
    """A listing whose small file is said to be one byte longer."""
    if kind != "tree":
        return said
    return relisted(
        said, lambda listed: [each | ({"size": each["size"] + 1} if "lfs" not in each else {}) for each in listed]
    )


WRONG_LISTINGS = pytest.mark.parametrize("lie", [shorter, foreign, larger])


@WRONG_LISTINGS
def test_a_listing_of_a_peer_counts_only_if_it_has_the_pinned_digest(lie: Lie, origin: Origin, complete: Path) -> None:
    pins = pins_of(origin, complete)
    with peer(complete) as served, LyingHub(served.endpoint) as liar:
        liar.lie = lie
        result = synced(origin, "copy", liar.endpoint, arguments=("--pins", str(pins)))
    assert f"peer {liar.address} is left out" in result.stdout
    assert {one.kind for one in origin.hub.requests} >= {"tree"}, "the hub is asked in the end"


@WRONG_LISTINGS
def test_a_wrong_listing_brings_no_honest_peer_into_disrepute(lie: Lie, origin: Origin, complete: Path) -> None:
    """The hub is down, so the honest one must give everything."""
    pins = pins_of(origin, complete)
    origin.hub.stop()
    with peer(complete) as honest, peer(complete) as served, LyingHub(served.endpoint) as liar:
        liar.lie = lie
        result = synced(origin, "copy", liar.endpoint, honest.endpoint, arguments=("--pins", str(pins)))
    assert f"peer {liar.address} is left out" in result.stdout
    assert f"peer 127.0.0.1:{honest.port} is left out" not in result.stdout
    assert result.report["bytesPresent"] == BYTES


def test_a_peer_that_lists_more_than_it_holds_stays_and_another_lists(origin: Origin, complete: Path) -> None:
    pins = pins_of(origin, complete)
    part = origin.folder / "part"
    shutil.copytree(complete, part)
    (part / "base/tokenizer.json").unlink()
    with peer(part) as served:
        result = synced(origin, "copy", served.endpoint, arguments=("--pins", str(pins)))
    assert "left out" not in result.stdout
    assert origin.hub.bytes_sent == len(FILES["tokenizer.json"])


def test_a_copy_with_other_content_comes_to_that_of_the_pins(origin: Origin, complete: Path) -> None:
    pins = pins_of(origin, complete)
    document = json.loads(pins.read_text())
    document["models"][0] |= {"digest": "sha256:" + "0" * 64}
    pins.write_text(json.dumps(document))
    result = run_sync(origin.spec, complete, origin.hub, *HURRY, "--pins", str(pins))
    assert (result.returncode, result.reasons()) == (2, {"base": "DigestMismatch"}), "the hub has nothing like it"
    assert tree(complete) == TREE


@pytest.mark.parametrize(
    "text",
    [None, "{", "\xff", '{"models": [{"name": "base", "commit": "main", "digest": null}]}'],
    ids=["no file", "no JSON", "no text", "no commit"],
)
def test_pins_that_cannot_be_used_end_the_run_before_it_begins_and_the_report_says_so(
    text: str | None, origin: Origin
) -> None:
    path = origin.folder / "pins.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    result = run_sync(origin.spec, origin.volume("copy"), origin.hub, "--pins", str(path))
    assert (result.returncode, result.reasons()) == (2, {"base": "InvalidSpec"})
    assert "--pins" in result.report["models"][0]["message"]
    assert "--pins" in result.stderr
    assert origin.hub.requests == []


# Tokens


def test_the_hubs_token_is_for_the_hub_and_the_peers_for_peers(origin: Origin, complete: Path) -> None:
    heads: list[dict[str, str]] = []
    with peer(complete) as served, LocalHub(origin.folder / "hub") as asked, LyingHub(served.endpoint) as between:
        hub = replace(origin, hub=asked)
        (complete / "base/config.json").unlink()
        between.heard = heads.append
        synced(hub, "copy", between.endpoint, HF_TOKEN="hf_secret", MODELCACHE_PEER_TOKEN="peer-secret")
        of_hub = [one.headers.get("authorization", "") for one in asked.requests if one.origin == "api"]
    assert {head.get("authorization") for head in heads} == {"Bearer peer-secret"}
    assert set(of_hub) == {"Bearer hf_secret"}


@pytest.mark.parametrize("given", ["", "another"])
def test_a_peer_that_refuses_the_token_is_left_out(given: str, origin: Origin, complete: Path) -> None:
    token = origin.folder / "token"
    token.write_text("right\n")
    with peer(complete, token) as served:
        result = synced(origin, "copy", served.endpoint, MODELCACHE_PEER_TOKEN=given)
        assert f"peer 127.0.0.1:{served.port} is left out" in result.stdout
        synced(origin, "other", served.endpoint, MODELCACHE_PEER_TOKEN="right")
    assert origin.hub.bytes_sent == BYTES


@pytest.mark.parametrize("url", ["peer:9465", "ftp://peer", "http://user:pw@peer", "http://peer/models", "http://"])
def test_what_is_no_address_of_a_peer_is_refused_by_name(url: str, origin: Origin) -> None:
    result = run_sync(origin.spec, origin.volume("copy"), origin.hub, "--peer", url)
    assert result.returncode == 2
    assert "--peer: " in result.stderr
