"""The Pod Security standard "restricted", as a pure check of a pod's spec.

Written from the standard's own table (kubernetes.io/docs/concepts/security/pod-security-standards), for Linux pods. The
admission of a real API server has the last word where there is one; this says the same without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC")
VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}
PROFILES = ("RuntimeDefault", "Localhost")


def restricted_problems(pod: Json) -> list[str]:
    """What the standard forbids in it, a line each."""
    return [*_pod_problems(pod), *(line for each in containers(pod) for line in _container_problems(pod, each))]


def containers(pod: Json) -> list[Json]:
    return [*pod.get("initContainers", ()), *pod["containers"], *pod.get("ephemeralContainers", ())]


def _pod_problems(pod: Json) -> Iterator[str]:
    yield from (f"{name} is set" for name in HOST_FIELDS if pod.get(name))
    for volume in pod.get("volumes", ()):
        yield from (f"volume {volume['name']} is a {kind}" for kind in volume if kind not in (*VOLUMES, "name"))
    if (pod.get("securityContext") or {}).get("sysctls"):
        yield "sysctls are set"


def _container_problems(pod: Json, container: Json) -> Iterator[str]:
    name = container["name"]
    own = container.get("securityContext") or {}
    both = {**(pod.get("securityContext") or {}), **own}
    if own.get("privileged"):
        yield f"{name} is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name} allows privilege escalation"
    if both.get("runAsNonRoot") is not True:
        yield f"{name} may run as root"
    if both.get("runAsUser") == 0:
        yield f"{name} runs as root"
    if (both.get("seccompProfile") or {}).get("type") not in PROFILES:
        yield f"{name} has no seccomp profile"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", ()):
        yield f"{name} keeps capabilities"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield f"{name} adds capabilities"
    yield from (f"{name} takes a port of the host" for port in container.get("ports", ()) if port.get("hostPort"))
