"""Where an answer may send a source, and what it takes along."""

from __future__ import annotations

import pytest

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.hub.retry import Transient
from init_sync.hub.source import Source
from init_sync.hub.transport import Connections, origin
from support.hub import LocalHub
from support.scripted_server import ScriptedServer, answer
from unit.fetching import fetch


def test_the_second_origin_gets_neither_the_token_nor_any_other_header_of_the_hub(
    source: Source, connections: Connections, hub: LocalHub
) -> None:
    fetch(source, connections, 0, 1000)
    fetch(source, connections, 1000, 2000)

    by_origin = {request.origin: request.headers for request in hub.requests}
    assert by_origin["api"]["authorization"] == "Bearer hf_x"
    assert by_origin["api"]["user-agent"] == "init-sync"
    assert "authorization" not in by_origin["cdn"]
    assert not hub.leaked_authorization


def test_the_token_follows_a_redirect_within_the_hub_and_not_one_that_leaves_it(connections: Connections) -> None:
    with ScriptedServer([answer("200 OK", b"data", ETag='"x"')]) as elsewhere:
        moved = [answer("307 Temporary Redirect", Location="/renamed/file")]
        with ScriptedServer([*moved, answer("302 Found", Location=f"{elsewhere.url}/blob")]) as hub:
            source = Source(f"{hub.url}/old/file", {"Authorization": "Bearer hf_x"}, 4, "it")

            assert fetch(source, connections, 0, 4) == b"data"

    assert [head.splitlines()[0] for head in hub.heads] == ["GET /old/file HTTP/1.1", "GET /renamed/file HTTP/1.1"]
    assert all("Bearer hf_x" in head for head in hub.heads)
    assert not any("Bearer" in head for head in elsewhere.heads)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://hub.test/a", "http://hub.test/a"),
        ("http://hub.test/a", "http://hub.test:8080/a"),
        ("https://hub.test/a", "https://cdn.hub.test/a"),
    ],
)
def test_scheme_host_and_port_each_make_another_origin(one: str, other: str) -> None:
    assert origin(one) != origin(other)


def test_the_default_port_and_the_case_of_the_host_do_not() -> None:
    assert origin("https://Hub.test/a") == origin("https://hub.test:443/b")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://[::1",
        f"http://{'a' * 70}.example/",
        "//[",
    ],
)
def test_a_redirect_to_what_is_no_address_is_worth_another_try(connections: Connections, location: str) -> None:
    with ScriptedServer([answer("302 Found", Location=location)]) as server, pytest.raises(Transient) as caught:
        Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)

    assert caught.value.reason is Reason.HUB_UNREACHABLE


def test_a_loop_of_redirects_ends(connections: Connections) -> None:
    with ScriptedServer([answer("302 Found", Location="/file")]) as server:
        with pytest.raises(Transient, match="more than 5 redirects"):
            Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)

        assert len(server.heads) == 6


@pytest.mark.parametrize(
    ("location", "arrives"),
    [
        ("/a b", "/a%20b"),
        ("/gr\xf6\xdfe?x=\xe9", "/gr%F6%DFe?x=%E9"),
        ("/模型 v1?a=b%2Fc&d=+".encode().decode("latin-1"), "/%E6%A8%A1%E5%9E%8B%20v1?a=b%2Fc&d=+"),
        ("blob#part", "/x/blob"),
    ],
    ids=["space", "Latin-1", "UTF-8", "relative, with a fragment"],
)
def test_the_address_of_a_redirect_is_quoted_as_browsers_do(
    location: str, arrives: str, connections: Connections
) -> None:
    moved = answer("302 Found").replace(b"\r\n\r\n", b"\r\nLocation: " + location.encode("latin-1") + b"\r\n\r\n")
    with ScriptedServer([moved, answer("200 OK", b"data")]) as server:
        assert fetch(Source(f"{server.url}/x/file", {}, 4, "it"), connections, 0, 4) == b"data"

    assert server.heads[1].startswith(f"GET {arrives} HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest", "http://[::ffff:a9fe:a9fe]/", "http://2852039166/", "file:///etc/passwd"],
)
@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "by a proxy"])
def test_a_redirect_to_where_none_may_lead_is_refused_at_once(
    location: str, proxied: bool, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer([answer("302 Found", Location=location)]) as server:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", server.url)
        with pytest.raises(NeedsChange, match=f"a redirect of {server.address} leads to") as caught:
            Source(f"{server.url}/file", {}, 4, "it").open(connections, 0, 4)

    assert caught.value.reason is Reason.HUB_UNREACHABLE
    assert len(server.heads) == 1


def test_a_source_without_redirects_follows_none(connections: Connections) -> None:
    with ScriptedServer([answer("302 Found", Location="/elsewhere")]) as server:
        with pytest.raises(Transient, match="more than 0 redirects"):
            Source(f"{server.url}/file", {}, 4, "it", direct=True).open(connections, 0, 4)

        assert len(server.heads) == 1


def test_a_refusal_by_storage_with_the_code_of_a_hub_is_the_hubs_and_names_the_host(connections: Connections) -> None:
    with ScriptedServer([answer("403 Forbidden", X_Error_Code="GatedRepo", X_Error_Message="Ask first.")]) as storage:
        address = storage.address
        with ScriptedServer([answer("302 Found", Location=f"{storage.url}/blob")]) as hub:
            source = Source(f"{hub.url}/file", {"Authorization": "Bearer hf_x"}, 4, "it")
            with pytest.raises(NeedsChange) as caught:
                source.open(connections, 0, 4)

    assert caught.value.reason is Reason.GATED_REPO
    assert f'fetching it: {address} answered 403 GatedRepo ("Ask first.")' in caught.value.message
    assert not any("hf_x" in head for head in storage.heads)
