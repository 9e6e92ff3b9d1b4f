"""Which pods are asked for their progress."""

from __future__ import annotations

import pytest

from modelcache_operator.kube.mirror import Mirror
from modelcache_operator.kube.progress import ProgressPoller, is_pod_address
from support.pure_cluster import PureCluster


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        *(("10.1.2.3", True), ("fd00::1", True), ("169.254.169.254", False), ("fe80::1", False), ("", False)),
        *(("::ffff:169.254.169.254", False), ("::ffff:10.1.2.3", True)),
        *(("224.0.0.1", False), ("0.0.0.0", False), ("localhost", False), ("10.0.0.1/x@y", False)),
        *(("127.0.0.1", False), ("127.64.3.2", False), ("::1", False), ("::", False), ("::ffff:127.0.0.1", False)),
        *(("0.1.2.3", False), ("255.255.255.255", False), ("ff05::2", False), ("fd00::1%eth0", False)),
        *(("::169.254.1.1", False), ("64:ff9b::169.254.169.253", False), ("64:ff9b:1::7f00:1", False)),
        *(("2002:7f00:1::", False), ("2002:a9fe:a9fe:1::5", False), ("2001:0:a00:1::5601:5601", False)),
        *(("fd00:ec2::23", False), ("fd20:ce::254", False), ("100.100.100.200", False), ("168.63.129.16", False)),
        *(("::ffff:100.100.100.200", False), ("64:ff9b::168.63.129.16", False), ("192.0.0.192", False)),
        *(("100.64.0.7", True), ("172.20.1.1", True), ("fd00:10:244::5", True), ("2001:db8::7", True)),
        *(("64:ff9b::10.1.2.3", True), ("2600:1f18::1", True), ("11.0.0.1", True)),
    ],
)
def test_only_addresses_that_a_pod_can_have_are_asked(address: str, asked: bool) -> None:
    assert is_pod_address(address) is asked


def test_a_pod_on_the_network_of_its_host_is_not_asked(world: PureCluster) -> None:
    """Its address is the node's, where its arguments choose any port."""
    mirror = Mirror()
    mirror.upsert_cache(world.cache)
    for name, spec in (("plain", {}), ("on-host", {"hostNetwork": True})):
        world.start(world.add_pod(name))
        world.pods[name]["spec"] |= spec
        world.pods[name]["status"]["podIP"] = "10.0.0.7"
        mirror.upsert_pod(world.pods[name])
    poller = ProgressPoller(mirror, lambda key: None)
    assert [pod.name for pod in poller._due(1e9)] == ["plain"]
