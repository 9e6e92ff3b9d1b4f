"""A real kube-apiserver with its etcd, on loopback, the way envtest runs them: no kubelet, no controllers.

``KUBEBUILDER_ASSETS`` names the folder with the programs ``etcd`` and ``kube-apiserver``. What a controller would do
(garbage collection, Job and pod status) is left to the tests. With ``kube-controller-manager`` there too, a test may
ask for ``controllers``; they do not work in all tests, for they would undo what others act out.
The admin logs in with a client certificate; ``write_kubeconfig`` is for those with no more rights than RBAC gives.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.kubeapi.access import write_kubeconfig
from support.kubeapi.client import Client
from support.waiting import eventually

READY_S = 120
CONTROLLERS = "kube-controller-manager"


def assets() -> Path | None:
    """The folder with the programs, if there is one."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if folder and all((Path(folder) / name).is_file() for name in ("etcd", "kube-apiserver")):
        return Path(folder)
    return None


class RealApi:
    """One API server with an empty etcd; a context manager.

    With ``service_accounts``, pods get the token of theirs, as in a cluster; the account "default" must be there.
    """

    def __init__(self, programs: Path, folder: Path, service_accounts: bool = False) -> None:
        self._without = [] if service_accounts else ["--disable-admission-plugins=ServiceAccount"]
        self._programs = programs
        self._folder = folder
        self._ports = _free_ports(3)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"https://127.0.0.1:{self._ports[2]}"

    def __enter__(self) -> RealApi:
        _make_certificates(self._folder)
        try:
            self._start_etcd()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (CONTROLLERS, "kube-apiserver", "etcd"):
            self._end(name)
        shutil.rmtree(self._folder / "etcd", ignore_errors=True)

    @property
    def pid(self) -> int:
        return self._processes["kube-apiserver"].pid

    def start(self) -> None:
        """Start the API server and wait until it is ready; its port stays the same over restarts."""
        folder = self._folder
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._ports[0]}",
            *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={self._ports[2]}"),
            *(f"--cert-dir={folder}/certs", f"--client-ca-file={folder}/ca.crt", "--authorization-mode=RBAC"),
            *("--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true"),
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",  # as on OpenShift
            *(f"--service-account-key-file={folder}/sa.key", f"--service-account-signing-key-file={folder}/sa.key"),
            *("--service-account-issuer=https://127.0.0.1", *self._without),
            *("--max-requests-inflight=400", "--profiling=false"),
        )
        self._wait_ready()

    def stop(self) -> None:
        self._end("kube-apiserver", signal.SIGKILL)

    @property
    def has_controllers(self) -> bool:
        return (self._programs / CONTROLLERS).is_file()

    @contextmanager
    def controllers(self, *names: str, own_accounts: bool = False) -> Iterator[None]:
        """Let controllers work, such as ``job-controller``, until the block is left; by default as the admin."""
        self._run(
            CONTROLLERS,
            *(f"--kubeconfig={self.kubeconfig()}", f"--controllers={','.join(names)}", "--leader-elect=false"),
            *("--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false"),
            f"--use-service-account-credentials={str(own_accounts).lower()}",
        )
        try:
            yield
        finally:
            self._end(CONTROLLERS)

    def kubeconfig(self) -> Path:
        """For the admin."""
        user = {
            "client-certificate": str(self._folder / "admin.crt"),
            "client-key": str(self._folder / "admin.key"),
        }
        return self.write_kubeconfig("admin", user)

    def write_kubeconfig(self, name: str, user: dict[str, Any]) -> Path:
        cluster = {"server": self.url, "insecure-skip-tls-verify": True}
        return write_kubeconfig(self._folder / f"{name}.kubeconfig", cluster, user, name)

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in self._ports[:2])
        self._run(
            "etcd",
            *(f"--data-dir={self._folder}/etcd", f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", "--unsafe-no-fsync", "--log-level=error"),
        )

    def _run(self, name: str, *arguments: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [str(self._programs / name), *arguments]
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def _end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self._processes.pop(name, None)
        if process:
            process.send_signal(how)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_ready(self) -> None:
        def ready() -> bool:
            if any(process.poll() is not None for process in self._processes.values()):
                raise RuntimeError(f"the API server ended; see the logs in {self._folder}")
            return bool(client.call("GET", "/readyz"))

        client = Client(self.kubeconfig())
        try:
            eventually(ready, f"the API server is ready; its logs are in {self._folder}", READY_S)
        finally:
            client.close()


def _free_ports(count: int) -> list[int]:
    """Taken together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _make_certificates(folder: Path) -> None:
    """A CA, an admin's certificate signed by it, and the key that signs service account tokens."""
    (folder / "usage").write_text("keyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n")
    for command in (
        "genrsa -out sa.key 2048",
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.crt",
        "req -newkey rsa:2048 -nodes -subj /O=system:masters/CN=admin -keyout admin.key -out admin.csr",
        "x509 -req -in admin.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile usage -out admin.crt",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
