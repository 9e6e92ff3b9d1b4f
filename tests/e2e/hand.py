"""A pod with the volume mounted for writing: the accident that befalls files."""

from __future__ import annotations

from dataclasses import dataclass

from e2e.kube import Json, Kube
from e2e.site import SECURITY, Site

CUT = "import os, sys; os.truncate(sys.argv[1], os.path.getsize(sys.argv[1]) // 2)"
# Size and time stay as they were: a stat does not see it.
FLIP = """
import os, sys
before = os.stat(sys.argv[1])
with open(sys.argv[1], "r+b") as file:
    file.seek(before.st_size // 2)
    byte = file.read(1)[0]
    file.seek(-1, 1)
    file.write(bytes([byte ^ 1]))
os.utime(sys.argv[1], ns=(before.st_atime_ns, before.st_mtime_ns))
"""
HASH = "import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256').hexdigest())"


@dataclass(frozen=True, slots=True)
class Hand:
    """It has no label of ours, so that neither operator nor NetworkPolicy sees it."""

    kube: Kube

    @classmethod
    def placed(cls, site: Site, claim: str, beside: Json) -> Hand:
        """On the node of another pod, for the volume may be mountable there alone."""
        container = {
            "name": "hand",
            "image": site.images.reference("e2e"),
            "command": ["sleep", "infinity"],
            "securityContext": SECURITY,
            "volumeMounts": [{"name": "models", "mountPath": "/models"}],
        }
        spec = {
            "nodeName": beside["spec"]["nodeName"],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": beside["spec"]["securityContext"],
            "containers": [container],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": claim}}],
        }
        site.kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hand"}, "spec": spec})
        site.kube.wait("pod/hand", "condition=Ready")
        return cls(site.kube)

    def sha256(self, file: str) -> str:
        return self._python(HASH, file).strip()

    def holds(self, file: str) -> bool:
        return self._python("import os, sys; print(os.path.exists(sys.argv[1]))", file).strip() == "True"

    def remove(self) -> None:
        self.kube.kubectl("delete", "pod/hand")

    def cut_short(self, file: str) -> None:
        self._python(CUT, file)

    def flip_a_byte(self, file: str) -> None:
        self._python(FLIP, file)

    def _python(self, code: str, file: str) -> str:
        return self.kube.kubectl("exec", "hand", "--", "python", "-c", code, f"/models/{file}")
