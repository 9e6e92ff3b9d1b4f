"""Which relative paths are allowed on a volume. Shared by the manifest's rules and by what a hub lists."""

from __future__ import annotations

STATE_DIRECTORY = ".modelcache"
"""Everything of ours on a volume lives in this directory at its root."""

REPLACED_SUFFIX = "_old"
"""What an original is renamed to when a link takes its place."""

PICKLE_SUFFIXES = (".bin", ".pth", ".pt", ".pkl", ".pickle", ".ckpt")

MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255


def path_problem(path: str) -> str | None:
    """What is wrong with ``path`` as a path below a volume's root, in words; None when it may be used.

    A path that is not in its shortest form is refused rather than tidied, so that equal paths are equal strings.
    """
    if not path:
        return "must not be empty"
    if len(path) > MAX_PATH_BYTES:
        return f"{path[:40]!r}... is too long; at most {MAX_PATH_BYTES} bytes are allowed"
    if path.startswith("/"):
        return f"{path!r} is absolute; use a path relative to the volume's root"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return f"{path!r} contains a control character"
    if "\\" in path:
        return f"{path!r} contains a backslash; separate directories with '/'"
    if not path.isprintable() and any(0xD800 <= ord(character) <= 0xDFFF for character in path):
        return f"{path!r} contains a character that is not valid Unicode"
    segments = path.split("/")
    if ".." in segments:
        return f"{path!r} leaves the volume; '..' is not allowed"
    if "" in segments or "." in segments:
        return f"{path!r} is not in its shortest form; write it without '//', './' or a trailing '/'"
    if segments[0] == STATE_DIRECTORY:
        return f"{path!r} lies in {STATE_DIRECTORY}/, which is reserved for the cache's own files"
    if len(path.encode()) > MAX_PATH_BYTES or any(len(segment.encode()) > MAX_NAME_BYTES for segment in segments):
        return f"{path[:40]!r}... is too long; at most {MAX_PATH_BYTES} bytes, {MAX_NAME_BYTES} between two '/'"
    return None


def same_or_inside(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or lies below it."""
    return path == directory or path.startswith(directory + "/")


def is_pickle(path: str) -> bool:
    """Whether loading this file may run code: PyTorch's pickle-based formats, by their usual endings."""
    return path.lower().endswith(PICKLE_SUFFIXES)
