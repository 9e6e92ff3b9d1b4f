"""A private certificate authority, and a server that puts TLS in front of another one on loopback."""

from __future__ import annotations

import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.listener import Listener
from support.proxy import read_head
from support.scripted_server import answer

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
SERVER = "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"


@dataclass(frozen=True, slots=True)
class Authority:
    """Made with openssl(1) in a folder: ``ca.pem``, and a certificate for 127.0.0.1."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def make(self) -> Authority:
        (self.folder / "extensions").write_text(SERVER)
        subject = ("-subj", "/CN=company", "-addext", "keyUsage=critical,keyCertSign")
        self._openssl("req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", *subject)
        self._openssl("req", *KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions")
        self._openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signed)
        return self

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.folder)


class Redirecting(Listener):
    """Sends every request to the same path of another server."""

    def __init__(self, elsewhere: str) -> None:
        super().__init__(self._answer)
        self._elsewhere = elsewhere

    def _answer(self, client: socket.socket, _number: int) -> None:
        with client.makefile("rb") as stream:
            path = read_head(stream).split(" ")[1]
        client.sendall(answer("308 Permanent Redirect", Location=self._elsewhere + path))


class TlsFront(Listener):
    """Forwards one request of each connection to ``behind``, a host and port; ``heads`` are those requests."""

    def __init__(self, authority: Authority, behind: str) -> None:
        super().__init__(self._forward)
        self._context = authority.server_context()
        self._behind = behind
        self.heads: list[str] = []

    def _forward(self, client: socket.socket, _number: int) -> None:
        with self._context.wrap_socket(client, server_side=True) as wrapped:
            with wrapped.makefile("rb") as stream:
                head = read_head(stream)
            if not head:
                return
            self.heads.append(head)
            host, _, port = self._behind.rpartition(":")
            with self.cut_at_the_end(socket.create_connection((host, int(port)), timeout=10)) as server:
                server.sendall(head.encode("latin-1") + b"Connection: close\r\n\r\n")
                while block := server.recv(1 << 16):
                    wrapped.sendall(block)
