"""Content hashes of served files, computed once.

A file in git is known by its blob id, ``sha1(b"blob <size>\\0" + content)``; a file in LFS by the sha256 of its
content, and in the tree by the blob id of its pointer file. Hashes are kept in memory and in
``<root>/.hub-hashes.json``::

    {"5242:1069421:1764000000000000000": {"sha256": "9f86d0..."}, "zeros:1073741824": {"sha256": "49bc20..."}}

Keys are inode, size and mtime in ns, so a file that is renamed or hard-linked into another commit is not read again.
The cache never decides what is served, only saves reading; delete it at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

CACHE_NAME = ".hub-hashes.json"
_BLOCK = 1 << 20
# A file changed twice within one tick of the file system's clock keeps its mtime: what is younger is not remembered.
_RACY_NS = 50_000_000


def git_blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Content of the pointer file that git stores in place of an LFS file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


class HashCache:
    """Hashes by file identity, shared between processes through one JSON file."""

    def __init__(self, root: Path, *, settled: bool = False) -> None:
        """``settled`` promises that files do not change any more, so that young ones are remembered as well."""
        self._settled = settled
        self._file = root / CACHE_NAME
        self._lock = threading.RLock()
        self._known: dict[str, dict[str, str]] = {}
        self._seen: tuple[int, int] | None = None
        self._dirty = False

    def blob_id(self, path: Path) -> str:
        return self._lookup(path, "blob_id")

    def sha256(self, path: Path) -> str:
        return self._lookup(path, "sha256")

    def sha256_of_zeros(self, size: int) -> str:
        """Hash ``size`` zero bytes without reading any file."""
        with self._lock:
            return self._find(f"zeros:{size}", "sha256") or self._keep(f"zeros:{size}", "sha256", _hash_zeros(size))

    def record_sha256(self, path: Path, sha256: str) -> None:
        """Believe the caller about a file's content, e.g. for a sparse file."""
        with self._lock:
            self._keep(_key(path.stat()), "sha256", sha256)

    def save(self) -> None:
        """Merge with what other processes wrote meanwhile, then replace the file atomically."""
        with self._lock:
            if not self._dirty:
                return
            self._load()
            temporary = self._file.with_name(f"{CACHE_NAME}.{os.getpid()}.{threading.get_ident()}")
            temporary.write_text(json.dumps(self._known, indent=0, sort_keys=True))
            temporary.replace(self._file)
            self._dirty = False

    def _lookup(self, path: Path, kind: str) -> str:
        with self._lock:
            stat = path.stat()
            key = _key(stat)
            found = self._find(key, kind)
            if found is not None:
                return found
            racy = not self._settled and time.time_ns() - stat.st_mtime_ns < _RACY_NS
            value = _hash_file(path, stat.st_size, kind)
            return value if racy else self._keep(key, kind, value)

    def _find(self, key: str, kind: str) -> str | None:
        found = self._known.get(key, {}).get(kind)
        if found is None and self._load():
            found = self._known.get(key, {}).get(kind)
        return found

    def _keep(self, key: str, kind: str, value: str) -> str:
        self._known.setdefault(key, {})[kind] = value
        self._dirty = True
        return value

    def _load(self) -> bool:
        """Take in the file if it changed since it was last seen."""
        with contextlib.suppress(OSError, ValueError):
            stat = self._file.stat()
            if self._seen == (stat.st_ino, stat.st_mtime_ns):
                return False
            for key, hashes in json.loads(self._file.read_text()).items():
                self._known.setdefault(key, {}).update(hashes)
            self._seen = (stat.st_ino, stat.st_mtime_ns)
            return True
        return False


def _key(stat: os.stat_result) -> str:
    return f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}"


def _hash_file(path: Path, size: int, kind: str) -> str:
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for block in _blocks(path):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]


def _hash_zeros(size: int) -> str:
    digest = hashlib.sha256()
    zeros = bytes(_BLOCK)
    for _ in range(size // _BLOCK):
        digest.update(zeros)
    digest.update(bytes(size % _BLOCK))
    return digest.hexdigest()
