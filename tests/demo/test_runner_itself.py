"""The runner as a whole: its beginning, its end, its own mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo.bench import container
from support.kubeapi import LocalApi
from support.kubeapi.client import Client
from support.runner import Image, Runner
from support.runner.addresses import Addresses
from support.waiting import eventually

FOREVER = "while true; do sleep 0.05; done"
IMAGES = {"shell": Image(("/bin/sh", "-c"))}


class Broken(dict[str, Image]):
    """Images that cannot be looked up."""

    def items(self) -> Any:
        raise ZeroDivisionError("a mistake of ours")


def create(client: Client, script: str) -> None:
    metadata = {"name": "pod"}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container(script)]}}
    client.create("pods", body)


def test_its_end_is_the_end_of_every_process(tmp_path: Path) -> None:
    with LocalApi() as api:
        kubeconfig = api.kubeconfig(tmp_path)
        client = Client(kubeconfig)
        with Runner(kubeconfig, tmp_path / "node", IMAGES):
            create(client, f"echo $$ > /dev/termination-log; {FOREVER}")
            message = eventually(
                lambda: next((path for path in tmp_path.rglob("message") if path.read_text()), None), "it runs"
            )
            pid = message.read_text().strip()
            assert Path(f"/proc/{pid}").exists()
        assert not Path(f"/proc/{pid}").exists()
        client.close()


def test_a_mistake_of_its_own_is_raised_at_the_end(tmp_path: Path) -> None:
    with LocalApi() as api:
        kubeconfig = api.kubeconfig(tmp_path)
        client = Client(kubeconfig)
        runner = Runner(kubeconfig, tmp_path / "node", Broken())
        with pytest.raises(ZeroDivisionError, match="a mistake of ours"), runner:  # noqa: PT012 - raised by the end of the block
            create(client, "true")
            eventually(lambda: not runner.alive, "it has ended")
        client.close()


def test_a_kubeconfig_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Runner(tmp_path / "none", tmp_path / "node", IMAGES):
        raise AssertionError("unreachable")


def test_two_runners_never_share_an_address() -> None:
    first, second = Addresses(), Addresses()
    try:
        assert first.take().rpartition(".")[0] != second.take().rpartition(".")[0]
    finally:
        first.close()
        second.close()


def test_addresses_that_were_given_back_are_used_again() -> None:
    addresses = Addresses()
    try:
        given = [addresses.take() for _ in range(253)]
        with pytest.raises(OSError, match="delete some pods"):
            addresses.take()
        addresses.give_back(given[7])
        assert addresses.take() == given[7]
    finally:
        addresses.close()
