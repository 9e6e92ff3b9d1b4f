"""The receipt: what was verified on the volume, when, and how to notice cheaply that it changed.

One JSON file for each model, ``.modelcache/receipts/<directory>-<digest>.json``:

    {"format": 1, "model": "wav2vec", "path": "chinese-wav2vec2-base", "repo": "TencentGameMate/chinese-wav2vec2-base",
     "requirement": "<digest of the manifest's entry>", "commits": {"main": "3991...", "refs/pr/1": "77ab..."},
     "chosen": {"model.safetensors": "refs/pr/1"}, "verifiedAt": "2026-11-23T01:02:03Z",
     "files": [{"path": "chinese-wav2vec2-base/config.json", "size": 1951, "mtimeNs": 1763..., "id": "git-sha1:...",
                "blocks": 8, "sha256": "5d1c..."}],
     "links": [{"at": "...", "target": "...", "kind": "symlink", "mtimeNs": 0, "text": "..."}],
     "digest": "sha256:9a41...", "cache": "multitalk", "check": "<hash of everything above>"}

It is written last, so its presence says that every file was verified at that time; size and mtime of each file say
whether that still holds. It does not prove anything about a file whose size and mtime were kept by who changed it:
that is what a deep check is for.

Receipts of version 0.1.0 have neither ``sha256`` nor ``digest``; the next sync adds both (``volume.completion``). Nor
have they ``cache``, whose sync wrote the receipt: without it, no cache alone decides what becomes of it.

That of a prepared copy (``volume.prepared``) has ``"preparedFrom": {"<model's path>": "<model's digest>"}`` too: no hub
has its files, and it counts only while the models have these digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from init_sync.core.content_id import checksum_in, is_checksum, is_content_id
from init_sync.core.digest import digest_of
from init_sync.core.volumepath import path_problem

FORMAT = 1
MAX_TEXT = 4096
DAMAGED_NS = -1
"""The time of a file that a scrub found damaged: every reader of the receipt, version 0.1.0 too, finds another one."""


class Damage(NamedTuple):
    """What a scrub found."""

    kind: str
    """``content`` or ``unreadable``."""
    mtime_ns: int
    """Of the file that it read; one of another time was not read."""

    @property
    def message(self) -> str:
        return DAMAGES[self.kind]


DAMAGES = {
    "content": "its content is not what was verified, as a scrub found",
    "unreadable": "it cannot be read from its disk, as a scrub found",
}


class ReceiptFile(NamedTuple):
    """A file as it was when its content was last verified."""

    path: str
    size: int
    mtime_ns: int
    content_id: str
    blocks: int = 0
    """512-byte blocks in use: a file that lost half of them was hollowed out, whatever its size says."""
    sha256: str = ""
    """The SHA-256 of a file whose content id is git's; empty when it is not known."""
    verified_at: str = ""
    """When its bytes were last hashed; empty: when the receipt says."""
    damage: Damage | None = None

    @property
    def checksum(self) -> str:
        """The SHA-256 as ``sha256sum`` prints it; empty when it is not known."""
        return checksum_in(self.content_id) or self.sha256


class ReceiptLink(NamedTuple):
    """A file that is to be found at a second place too."""

    at: str
    target: str
    """Path of the file itself, relative to the volume's root."""
    kind: str
    """``symlink``, ``hardlink`` or ``copy``: what the file system could do."""
    mtime_ns: int = 0
    """Of a copy only."""
    text: str = ""
    """What a symbolic link says, relative to where it really lies."""


class Receipt(NamedTuple):
    """Proof that a model was complete."""

    model: str
    path: str
    repo: str
    revision: str
    requirement: str
    commits: Mapping[str, str]
    chosen: Mapping[str, str]
    files: tuple[ReceiptFile, ...]
    links: tuple[ReceiptLink, ...]
    verified_at: str
    warning: str = ""
    """What is odd about a complete model, such as an index that names files which it does not take."""
    replaced: tuple[str, ...] = ()
    """Files that lie beside a link which has their place, as ``<name>_old``: no part of the digest."""
    digest: str = ""
    """Of the model, as ``core.digest`` makes it; empty in a receipt of version 0.1.0."""
    cache: str = ""
    """Name of the cache whose sync wrote it; empty in a receipt of version 0.1.0."""
    prepared_from: Mapping[str, str] = {}
    """Of a prepared copy: the digests of the models that it was made of, by their paths."""
    written_ns: int = 0
    """Time of the receipt's own file, by the clock of the volume; not part of its text."""

    @property
    def commit(self) -> str:
        return self.commits[self.revision]

    def checksums(self) -> dict[str, str] | None:
        """SHA-256 by path in the model's directory, for the files of the digest; None when one is not known."""
        inside = f"{self.path}/"
        found: dict[str, str] = {}
        for file in self.files:
            checksum = file.checksum
            if not checksum or not file.path.startswith(inside):
                return None
            if file.path not in self.replaced:
                found[file.path.removeprefix(inside)] = checksum
        return found

    def with_digest(self) -> Receipt:
        """The same with its digest; without one when a SHA-256 is not known."""
        checksums = self.checksums()
        return self._replace(digest="" if checksums is None else digest_of(checksums))

    def files_with_times(self) -> tuple[ReceiptFile, ...]:
        """Each with the time at which its bytes were last hashed."""
        return tuple(file._replace(verified_at=file.verified_at or self.verified_at) for file in self.files)

    def with_oldest_time(self) -> Receipt:
        """The same, verified when that of its files was which was so the longest ago; later times stay with theirs."""
        files = self.files_with_times()
        oldest = min(file.verified_at for file in files)
        kept = tuple(file._replace(verified_at="") if file.verified_at == oldest else file for file in files)
        return self._replace(files=kept, verified_at=oldest)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "model": self.model,
            "path": self.path,
            "repo": self.repo,
            "revision": self.revision,
            "requirement": self.requirement,
            "commits": dict(self.commits),
            "chosen": dict(self.chosen),
            "verifiedAt": self.verified_at,
            **({"warning": self.warning} if self.warning else {}),
            "files": [
                {
                    "path": file.path,
                    "size": file.size,
                    "mtimeNs": file.mtime_ns,
                    "id": file.content_id,
                    "blocks": file.blocks,
                    **({"sha256": file.sha256} if file.sha256 else {}),
                    **({"verifiedAt": file.verified_at} if file.verified_at else {}),
                    **({"damage": {"kind": file.damage.kind, "mtimeNs": file.damage.mtime_ns}} if file.damage else {}),
                }
                for file in self.files
            ],
            "links": [
                {
                    "at": link.at,
                    "target": link.target,
                    "kind": link.kind,
                    "mtimeNs": link.mtime_ns,
                    "text": link.text,
                }
                for link in self.links
            ],
            **({"replaced": list(self.replaced)} if self.replaced else {}),
            **({"digest": self.digest} if self.digest else {}),
            **({"cache": self.cache} if self.cache else {}),
            **({"preparedFrom": dict(self.prepared_from)} if self.prepared_from else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Receipt:
        """Raises KeyError, TypeError, AttributeError or ValueError for anything that ``to_json`` did not write.

        Anybody who may write to the volume may have written it: each path obeys the rules of a manifest, and each text
        is one line.
        """
        if data["format"] != FORMAT:
            raise ValueError(f"receipt format {data['format']!r}")
        if data["revision"] not in data["commits"]:
            raise ValueError("receipt without its commit")
        if not data["files"]:
            raise ValueError("receipt without files")
        receipt = cls(
            model=_line(data["model"]),
            path=_path(data["path"]),
            repo=_line(data["repo"]),
            revision=_line(data["revision"]),
            requirement=_line(data["requirement"]),
            commits={_line(revision): _line(commit) for revision, commit in data["commits"].items()},
            chosen={_line(file): _line(revision) for file, revision in data["chosen"].items()},
            verified_at=_line(data["verifiedAt"]),
            warning=_line(data.get("warning", "")),
            files=tuple(_file(each) for each in data["files"]),
            links=tuple(_link(each) for each in data["links"]),
            replaced=tuple(_path(each) for each in data.get("replaced", ())),
            digest=_line(data.get("digest", "")),
            cache=_line(data.get("cache", "")),
            prepared_from={_path(path): _line(each) for path, each in data.get("preparedFrom", {}).items()},
        )
        if receipt.digest and receipt.digest != receipt.with_digest().digest:
            raise ValueError("a receipt whose digest is not that of its files")
        return receipt


def _file(data: Mapping[str, Any]) -> ReceiptFile:
    return ReceiptFile(
        path=_path(data["path"]),
        size=_count(data["size"]),
        mtime_ns=int(data["mtimeNs"]),
        content_id=_content_id(data["id"]),
        blocks=_count(data["blocks"]),
        sha256=_checksum(data.get("sha256", "")),
        verified_at=_line(data.get("verifiedAt", "")),
        damage=_damage(data["damage"]) if "damage" in data else None,
    )


def _damage(data: Mapping[str, Any]) -> Damage:
    damage = Damage(_line(data["kind"]), int(data["mtimeNs"]))
    if damage.kind not in DAMAGES:
        raise ValueError("a receipt holds damage of a kind that no scrub writes")
    return damage


def _link(data: Mapping[str, Any]) -> ReceiptLink:
    return ReceiptLink(
        at=_path(data["at"]),
        target=_path(data["target"]),
        kind=_line(data["kind"]),
        mtime_ns=int(data["mtimeNs"]),
        text=_line(data["text"]),
    )


def _path(value: Any) -> str:
    if not isinstance(value, str) or path_problem(value):
        raise ValueError("a receipt names what is no path of a model")
    return value


def _line(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or any(ord(each) < 32 or ord(each) == 127 for each in value):
        raise ValueError("a receipt holds text that no sync writes")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a receipt holds a number that no sync writes")
    return value


def _checksum(value: Any) -> str:
    if not isinstance(value, str) or (value and not is_checksum(value)):
        raise ValueError("a receipt holds a hash that no sync writes")
    return value


def _content_id(value: Any) -> str:
    content_id = _line(value)
    if not is_content_id(content_id):
        raise ValueError("a receipt holds a hash that no sync writes")
    return content_id
