"""Requests that other people's pages make: by DNS rebinding, across sites, and two in the place of one."""

from __future__ import annotations

import socket

import pytest
from starlette.datastructures import Headers

from inference.server.access import Admittance, refusal
from inference.server.hosts import allowed_host, host_name
from inference_server.harness import RunningServer, error_of
from inference_server.media import png, wav
from init_sync.shell.flags import several

NAMES = ("multitalk", "multitalk.models.svc", ".example.com")


@pytest.mark.parametrize(
    "header",
    [
        *(
            "localhost",
            "localhost:8000",
            "LOCALHOST:8000",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1",
            "127.8.8.8:80",
        ),
        *(
            "10.0.0.7:8000",
            "8.8.8.8",
            "[::1]",
            "[::1]:8000",
            "[fd00::7]:8000",
            "[::ffff:10.0.0.7]:8000",
            "[fe80::1%eth0]",
        ),
        *("multitalk", "MultiTalk:8000", "multitalk.models.svc:8000", "example.com", "a.b.example.com:443"),
        socket.gethostname(),
    ],
)
def test_addresses_this_machine_and_named_hosts_are_served(header: str) -> None:
    assert allowed_host(header, NAMES)


@pytest.mark.parametrize(
    "header",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "evil-localhost", "xlocalhost:80", ""),
        *("127.0.0.1.evil.example", "127.0.0.1.nip.io:8000", "0x7f.1", "2130706433", "1.2.3", "[::1].evil.example"),
        *("multitalk.evil.example", "multitalk.models.svc.evil.example", "badexample.com", "example.com.evil.example"),
        *(
            "localhost:80@evil.example",
            "evil.example#localhost",
            "localhost/evil",
            "[evil.example]",
            "[::1",
            "::1",
            "a b",
        ),
        *(
            "localhost:port",
            "localhost:80:80",
            "localhost\\@evil.example",
            "١٢٧.0.0.1",
            "\x00localhost",
            "localhost,evil",
        ),
    ],
)
def test_other_names_and_what_is_no_host_are_not(header: str) -> None:
    assert not allowed_host(header, NAMES)


def test_a_star_allows_any_host() -> None:
    assert allowed_host("evil.example", ("*",))


def test_allowed_hosts_are_names_in_a_list() -> None:
    names = several(host_name)(" Video.example, .internal,,a_b. ,*")
    assert names == ("video.example", ".internal", "a_b", "*")


@pytest.mark.parametrize("text", ["https://video.example", "video.example:443", "*.example", "a b", "[::1]", "-"])
def test_what_is_no_name_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a host name; give names without scheme and port, \.example\.com, or \*"):
        several(host_name)(text)


def code(method: str = "POST", **headers: str) -> str | None:
    given = {"host": "localhost:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    error = refusal(method, "/v1/videos", Headers(given), Admittance())
    return error.code if error else None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "same-origin", "origin": "http://localhost:8000"},
        {"sec_fetch_site": "same-origin", "origin": "https://video.example"},  # a gateway has put another Host
        {"sec_fetch_site": "none"},
        {"origin": "http://localhost:8000"},
    ],
)
def test_clients_and_the_servers_own_page_may_change_things(headers: dict[str, str]) -> None:
    assert code("POST", **headers) is None
    assert code("DELETE", **headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "cross-site", "origin": "http://localhost:8000"},
        {"sec_fetch_site": "same-site", "origin": "http://localhost:3000"},
        {"sec_fetch_site": "Same-Origin"},
        {"sec_fetch_site": "made up"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost"},
        {"origin": "http://localhost:8001"},
        {"origin": "http://localhost:8000.evil.example"},
        {"origin": "http://evil.example?localhost:8000"},
        {"origin": "localhost:8000"},
        {"origin": "file://"},
        {"origin": ""},
    ],
)
def test_pages_of_other_sites_may_not(headers: dict[str, str]) -> None:
    for method in ("POST", "DELETE", "PUT", "PATCH", "MADEUP", "post"):
        assert code(method, **headers) == "cross_site_request"


def test_links_from_other_sites_may_be_followed() -> None:
    assert code("GET", sec_fetch_site="cross-site") is None


def test_a_request_without_host_is_not_a_browsers() -> None:
    assert refusal("GET", "/", Headers({}), Admittance()) is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/v1/videos"), ("GET", "/v1/videos/{}"), ("GET", "/v1/videos/{}/content"),
        ("DELETE", "/v1/videos/{}"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("HEAD", "/v1/videos/{}/content"),
    ],
)  # fmt: skip
def test_a_rebound_name_reads_and_deletes_nothing(server: RunningServer, method: str, path: str) -> None:
    video_id = server.create()
    server.wait_status(video_id, "completed")
    answer = server.http.request(method, path.format(video_id), headers={"host": "evil.example:8000"})
    assert answer.status_code == 403
    assert method == "HEAD" or error_of(answer)["code"] == "host_not_allowed"
    assert server.video(video_id)["status"] == "completed"


def test_the_refusal_of_a_host_names_the_flag(server: RunningServer) -> None:
    answer = server.http.get("/", headers={"host": "video.example"})
    assert "'video.example'" in error_of(answer)["message"]
    assert "--allowed-hosts" in error_of(answer)["message"]


def test_a_form_of_another_site_asks_for_no_video(server: RunningServer) -> None:
    files = [("input_reference", ("face.png", png())), ("audio", ("voice.wav", wav()))]
    headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    answer = server.http.post("/v1/videos", data={"prompt": "p"}, files=files, headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (403, "cross_site_request")
    assert server.http.get("/v1/videos").json()["data"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_with_two_lengths_is_the_last_of_its_connection(server: RunningServer, method: str) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"{method} /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    answers = said(server, head.encode() + b"0\r\n\r\n" + hidden)
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b"two_body_lengths" in answers
    assert answers.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("target", [b"http://evil.example/v1/videos", b"//evil.example/v1/videos", b"*"])
def test_a_target_with_a_host_of_its_own_is_no_way_in(server: RunningServer, target: bytes) -> None:
    assert said(server, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 404 "
    )


def said(server: RunningServer, request: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    port = server.http.base_url.port
    assert port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))
