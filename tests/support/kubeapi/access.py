"""Kubeconfigs: how a test gets to an API, and how it sends the operator there."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """The server of a kubeconfig's first context, and what its user logs in with."""

    url: str
    token: str
    tls: ssl.SSLContext | None
    """With the user's certificate, if it has one."""
    anonymous_tls: ssl.SSLContext | None
    """Without it: for those who bring a token of their own."""


def read_kubeconfig(path: Path) -> Access:
    """Certificates of servers are not checked: they are a test's own, on loopback."""
    config = yaml.safe_load(path.read_text())
    url, user = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"] or {}
    if not url.startswith("https:"):
        return Access(url, "", None, None)
    tls = _context()
    with tempfile.TemporaryDirectory() as folder:
        if certificate := _file(user, "client-certificate", Path(folder)):
            tls.load_cert_chain(certificate, _file(user, "client-key", Path(folder)))
    return Access(url.rstrip("/"), user.get("token", ""), tls, _context())


def write_kubeconfig(path: Path, cluster: Json, user: Mapping[str, Any], name: str = "test") -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": dict(user)}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.write_text(yaml.safe_dump(document))
    return path


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _file(user: Mapping[str, str], key: str, folder: Path) -> str:
    """The path under ``key``, or of a copy of what is held inline."""
    if data := user.get(f"{key}-data"):
        (folder / key).write_bytes(base64.b64decode(data))
        return str(folder / key)
    return user.get(key, "")
