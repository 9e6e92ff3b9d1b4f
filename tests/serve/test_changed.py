"""A volume on which somebody else writes: no byte is sent but those that a receipt proves, and nothing from outside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from init_sync.volume.layout import read_json, write_json
from init_sync.volume.volume import Volume
from serve.conftest import LARGER, NESTED
from support.peer import Peer, peer
from support.waiting import eventually

WEIGHTS = "/owner/nested/resolve/main/unet/weights.safetensors"
SECRET = b"not of this volume"


def overwrite(path: Path) -> None:
    """One byte in place, size kept."""
    with path.open("r+b") as file:
        file.write(b"\xff")


def instead(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


def become_a_link(target: Callable[[Path], str]) -> Callable[[Path], None]:
    return instead(lambda path: path.symlink_to(target(path)))


def directory_becomes_a_link(path: Path) -> None:
    outside = path.parents[3] / "outside"
    shutil.copytree(path.parent, outside)
    shutil.rmtree(path.parent)
    path.parent.symlink_to(outside)


CHANGES: dict[str, Callable[[Path], None]] = {
    "overwritten": overwrite,
    "shorter": lambda path: os.truncate(path, 10),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 1),
    "another time": lambda path: os.utime(path, (1, 1)),
    "removed": lambda path: path.unlink(),
    "a directory": instead(lambda path: path.mkdir()),
    "a pipe": instead(os.mkfifo),
    "a link to outside": become_a_link(lambda path: str(path.parents[3] / "secret")),
    "a link to outside, relative": become_a_link(lambda path: "../../../secret"),
    "a link to another file": become_a_link(lambda path: "../config.json"),
    "a link to the state": become_a_link(lambda path: "../../.modelcache/volume.json"),
    "a link to itself": become_a_link(lambda path: path.name),
    "its directory leads outside": directory_becomes_a_link,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_changed_is_not_found_and_its_listing_stays_whole(
    change: Callable[[Path], None], whole: Path
) -> None:
    (whole.parent / "secret").write_bytes(SECRET)
    with peer(whole) as served:
        assert served.ask(WEIGHTS).status == 200
        change(whole / "nested" / "unet" / "weights.safetensors")
        for method in ("HEAD", "GET"):
            got = served.ask(WEIGHTS, method)
            assert (got.status, got.headers["x-error-code"]) == (404, "EntryNotFound")
        assert len(served.ask("/api/models/owner/nested").json()["siblings"]) == len(NESTED)
        assert served.ask("/owner/nested/resolve/main/config.json").body == NESTED["config.json"]


def test_a_second_copy_of_the_content_serves_when_the_first_has_changed(whole: Path) -> None:
    for receipt in receipts(whole):
        data = read_json(Volume(str(whole)), receipt)
        if data["repo"] == "owner/nested":
            copied = whole / "elsewhere.bin"
            shutil.copy2(whole / "nested" / "unet" / "weights.safetensors", copied)
            (file,) = [each for each in data["files"] if each["path"].endswith("weights.safetensors")]
            files = [*data["files"], {**file, "path": "elsewhere.bin"}]
            write_json(Volume(str(whole)), receipt, {**data, "files": files, "digest": ""})
    overwrite(whole / "nested" / "unet" / "weights.safetensors")
    with peer(whole) as served:
        assert served.ask(WEIGHTS).body == NESTED["unet/weights.safetensors"]


def test_links_within_the_volume_are_followed_where_a_recorded_path_leads_over_them(whole: Path) -> None:
    """As in a snapshot of the Hugging Face cache, which a sync adopts."""
    (whole / "nested").rename(whole / "big-disk")
    (whole / "nested").symlink_to("big-disk")
    weights = whole / "big-disk" / "unet" / "weights.safetensors"
    weights.rename(whole / "blob")
    weights.symlink_to("../../blob")
    with peer(whole) as served:
        assert served.ask(WEIGHTS).body == NESTED["unet/weights.safetensors"]


def receipts(whole: Path) -> list[str]:
    return [f".modelcache/receipts/{path.name}" for path in (whole / ".modelcache" / "receipts").iterdir()]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *((path, 404) for path in ("../secret", "/secret", "{outside}", "base/../../secret", "leads/secret", "nested")),
        (".modelcache/secret", 404),
        ("secret", 200),  # who can write receipts decides what is served of this volume: docs/security.md
    ],
)
def test_a_receipt_that_is_forged_gives_nothing_from_outside(path: str, status: int, whole: Path) -> None:
    secret = whole.parent / "secret"
    secret.write_bytes(SECRET)
    os.utime(secret, (0, 0))  # a file as young as its receipt is not served
    for inside in (whole / "secret", whole / ".modelcache" / "secret"):
        shutil.copy2(secret, inside)
    (whole / "leads").symlink_to(whole.parent)
    for receipt in receipts(whole):
        data = read_json(Volume(str(whole)), receipt)
        forged = {"path": path.format(outside=secret), "size": len(SECRET), "mtimeNs": secret.stat().st_mtime_ns}
        files = [{**each, **forged, "blocks": 0} for each in data["files"]]
        write_json(Volume(str(whole)), receipt, {**data, "files": files, "digest": ""})
        for pin in (whole / ".modelcache" / "pins").iterdir():
            name = f".modelcache/pins/{pin.name}"
            listing = read_json(Volume(str(whole)), name)
            sizes = [{**each, "size": len(SECRET)} for each in listing["files"]]
            write_json(Volume(str(whole)), name, {**listing, "files": sizes})
    with peer(whole) as served:
        for repo, name in (("owner/base", "config.json"), ("owner/nested", "unet/weights.safetensors")):
            got = served.ask(f"/{repo}/resolve/main/{name}")
            assert (got.status, SECRET in got.body) == (status, status == 200)


def test_a_state_directory_that_is_a_link_is_not_read(whole: Path) -> None:
    (whole / ".modelcache").rename(whole.parent / "state")
    (whole / ".modelcache").symlink_to("../state")
    with peer(whole) as served:
        assert served.ask("/api/models/owner/base").status == 503
        assert served.ask("/healthz").status == 200


class TestWhileItIsSent:
    def receive(self, served: Peer, change: Callable[[], Any]) -> bytes:
        """The body that a client gets when the change comes after the head."""
        with served.connect(receive_bytes=256 << 10) as client:
            client.sendall(b"GET /owner/large/resolve/main/large.safetensors HTTP/1.1\r\nHost: x\r\n\r\n")
            received = client.recv(1 << 10)
            head, _, first = received.partition(b"\r\n\r\n")
            assert b"Content-Length: %d" % len(LARGER) in head
            served.wait_until_blocked()
            change()
            body = first
            while more := self._more(client):
                body += more
                if len(body) == len(LARGER):
                    break
            return body

    def _more(self, client: Any) -> bytes:
        try:
            received: bytes = client.recv(1 << 20)
        except ConnectionResetError:
            return b""
        return received

    @pytest.mark.parametrize("change", ["overwritten", "shorter", "longer", "another time"])
    def test_an_answer_from_a_file_that_changed_is_cut(self, change: str, large: Path) -> None:
        with peer(large) as served:
            body = self.receive(served, lambda: CHANGES[change](large / "large" / "large.safetensors"))
            assert len(body) < len(LARGER)
            cut = ("modelcache_serve_cut_responses_total", "changed")
            eventually(lambda: served.samples()[cut] == 1, "the cut is counted")
            assert served.ask("/owner/large/resolve/main/large.safetensors", "HEAD").status == 404

    def test_a_file_that_is_replaced_is_sent_to_its_end_as_it_was(self, large: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.write_bytes(b"\0" * len(LARGER))
        with peer(large) as served:
            body = self.receive(served, lambda: other.replace(large / "large" / "large.safetensors"))
            assert body == LARGER
            assert served.ask("/owner/large/resolve/main/large.safetensors", "HEAD").status == 404


def test_receipts_are_read_again_when_they_change(whole: Path) -> None:
    (whole / ".modelcache" / "receipts").rename(whole / ".modelcache" / "tmp-receipts")
    with peer(whole) as served:
        assert (served.ask("/readyz").status, served.ask("/api/models/owner/base").status) == (503, 404)
        (whole / ".modelcache" / "tmp-receipts").rename(whole / ".modelcache" / "receipts")
        eventually(lambda: served.ask("/readyz").status == 200, "the server has seen the receipts")
        assert served.ask(WEIGHTS).body == NESTED["unet/weights.safetensors"]
