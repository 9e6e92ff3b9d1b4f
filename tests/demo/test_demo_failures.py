"""What the demo says when the machine cannot carry it, and what Ctrl-C finds before there is anything to see."""

from __future__ import annotations

import errno
import os
import socket
from types import TracebackType

import pytest

from support.demo import fitness
from support.demo import show as demo
from support.helm import Helm, Release


def broken_stage(error: OSError) -> type:
    """A stage that cannot be set up."""

    class BrokenStage:
        def __init__(self, _screen: object) -> None:
            """Takes nothing of it."""

        def __enter__(self) -> BrokenStage:
            raise error

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            """Never entered."""

    return BrokenStage


TROUBLES: dict[str, tuple[int, str]] = {
    "full": (errno.ENOSPC, "is full. Free 300 MB there, or set TMPDIR"),
    "over quota": (errno.EDQUOT, "is full. Free 300 MB there, or set TMPDIR"),
    "read-only": (errno.EROFS, "Read-only file system: /somewhere/file. Set TMPDIR"),
    "too long": (errno.ENAMETOOLONG, "File name too long: /somewhere/file. Set TMPDIR"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_temporary_folder_that_cannot_be_used_is_said_in_a_line(
    trouble: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number, words = TROUBLES[trouble]
    monkeypatch.setattr(demo, "Stage", broken_stage(OSError(number, os.strerror(number), "/somewhere/file")))
    assert demo.show(keep=False) == 1
    assert words in capsys.readouterr().out


def test_an_error_of_another_kind_is_a_mistake_that_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "Stage", broken_stage(OSError(errno.EBADF, "Bad file descriptor")))
    with pytest.raises(OSError, match="Bad file descriptor"):
        demo.show(keep=False)


def test_a_port_that_is_taken_on_every_address_is_said_before_anything_starts() -> None:
    with socket.socket() as everywhere, socket.socket() as here:
        for each, address in ((everywhere, "0.0.0.0"), (here, "127.0.0.1")):
            each.bind((address, 0))
            each.listen()
        ports = [each.getsockname()[1] for each in (everywhere, here)]
        with pytest.raises(fitness.Unfit, match=rf"listens on port {ports[0]} of every address"):
            fitness.check_ports(ports)


def test_the_ports_that_are_tried_are_those_of_the_charts_pods(helm: Helm) -> None:
    found: set[int] = set()
    for each in helm.render(Release()):
        if each["kind"] == "Service":
            found |= {port["port"] for port in each["spec"]["ports"]}
        elif each["kind"] == "Deployment":
            spec = each["spec"]["template"]["spec"]
            containers = [*spec["containers"], *spec.get("initContainers", ())]
            found |= {port["containerPort"] for container in containers for port in container.get("ports", ())}
    assert found == set(fitness.PORTS)
