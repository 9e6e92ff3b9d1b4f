"""Progress of running syncs, asked from the pods themselves: ``GET http://POD:PORT/status``.

What answers may be anything: the address is the pod's own, never that of its node (a pod on its host's network is not
asked), the port the one in its arguments, redirects and proxies are not followed, an answer is limited in time and size
and validated as untrusted. A pod that does not answer costs its figures, nothing else. All pods together are asked
``PER_SECOND`` times a second at most, each of them every ``INTERVAL_S`` at most.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Iterable

import aiohttp

from modelcache_operator.core.observed import Progress
from modelcache_operator.core.observed_pods import Observation, Pod, RunState
from modelcache_operator.core.reports import MAX_REPORT_BYTES, parse_report
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror

INTERVAL_S = 5.0
PER_SECOND = 20.0
AT_ONCE = 16
TIMEOUT_S = 2.0

NOT_OF_PODS = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("0.0.0.0/8", "240.0.0.0/4"),  # this network; reserved, and broadcast
        *("192.0.0.0/24", "100.100.100.200/32", "168.63.129.16/32"),  # metadata: Oracle, Alibaba, Azure
        *("fd00:ec2::/32", "fd20:ce::/32"),  # metadata: AWS, Google
    )
)
"""Beside those that ``ipaddress`` knows as loopback, link-local (metadata of most clouds), multicast or unspecified."""
WITH_IPV4_AT_THE_END = tuple(ipaddress.ip_network(each) for each in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48"))


class ProgressPoller:
    """One task; ``changed`` is told about caches with news."""

    def __init__(
        self,
        mirror: Mirror,
        changed: Callable[[Key], None],
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._mirror = mirror
        self._clock = clock
        self._changed = changed
        self._interval = interval_s
        self._asked: dict[str, float] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False, auto_decompress=False) as session:
            while True:
                started = time.monotonic()
                due = list(self._due(started))
                await asyncio.gather(*(self._ask(session, pod) for pod in due))
                pause = max(len(due) / PER_SECOND, min(1.0, self._interval)) - (time.monotonic() - started)
                await asyncio.sleep(max(0.05, pause))

    def _due(self, now: float) -> Iterable[Pod]:
        """Running syncs that were not asked for a while: those asked longest ago first, so that none is left out."""
        running = [
            pod
            for key, pods in self._mirror.pods.items()
            if key in self._mirror.caches
            for pod in pods.values()
            if pod.state is RunState.RUNNING and pod.port and not pod.host_network and is_pod_address(pod.address)
        ]
        self._asked = {pod.uid: self._asked.get(pod.uid, 0.0) for pod in running}
        due = [pod for pod in running if now - self._asked[pod.uid] >= self._interval]
        due.sort(key=lambda pod: self._asked[pod.uid])
        return due[: int(PER_SECOND)]

    async def _ask(self, session: aiohttp.ClientSession, pod: Pod) -> None:
        self._asked[pod.uid] = time.monotonic()
        async with self._slots:
            observation = await _fetch(session, pod)
        if observation is None:
            return
        before = self._mirror.progress.get(pod.uid)
        if before is None or before.observation != observation:
            self._mirror.set_progress(Progress(pod.uid, self._clock(), observation))
            self._changed(Key(pod.namespace, pod.cache))


async def _fetch(session: aiohttp.ClientSession, pod: Pod) -> Observation | None:
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    try:
        async with session.get(f"http://{host}:{pod.port}/status", allow_redirects=False) as answer:
            if answer.status != 200:
                return None
            text = await answer.content.read(MAX_REPORT_BYTES + 1)
            while len(text) <= MAX_REPORT_BYTES and (more := await answer.content.read(MAX_REPORT_BYTES)):
                text += more
            return parse_report(text)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return None


def is_pod_address(text: str) -> bool:
    """Whether a pod can have it: not one that means this machine, a node's services or a cloud's metadata."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return False
        address = _embedded(address) or address
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return not any(address in network for network in NOT_OF_PODS if network.version == address.version)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside an IPv6 one: mapped, compatible, translated (NAT64) or tunnelled (6to4, Teredo)."""
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if any(address in network for network in WITH_IPV4_AT_THE_END) and int(address) > 1:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
