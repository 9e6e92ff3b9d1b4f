"""A file system that passes everything on to a folder, with quirks: FUSE, the kernel's protocol by hand.

One request after the other. Nothing is cached: each look of the kernel comes here, so what is told is of the moment.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from support.quirks import Quirks

ENTRY = "<QQQQII"
ATTRIBUTES = "<QQQQQQIIIIIIIIII"
BIGGEST_WRITE = 1 << 17
NS = 10**9


class FileSystem:
    """Answers requests; a node is a path's number, as the kernel wants it."""

    def __init__(self, root: str, quirks: Quirks) -> None:
        self._root = root
        self._quirks = quirks
        self._paths = {1: ""}
        self._nodes = {"": 1}
        self._descriptors: dict[int, int] = {}
        self._writers: dict[int, int] = {}
        """Node by handle, of files that are open for writing."""
        self._last = 1
        self._operations: dict[int, Callable[[int, bytes], bytes]] = {
            **{1: self._look_up, 3: self._attributes, 4: self._change, 5: self._read_link, 6: self._symlink},
            **{9: self._mkdir, 10: partial(self._remove, os.unlink), 11: partial(self._remove, os.rmdir)},
            **{12: partial(self._rename, 8), 13: self._link, 14: self._open, 15: self._read, 16: self._write},
            **{17: self._space, 18: self._release, 20: self._fsync, 26: self._begin, 27: lambda *_: bytes(16)},
            **{28: self._list, 35: self._create, 45: partial(self._rename, 16)},
            **dict.fromkeys((25, 29, 30, 34, 38), lambda *_: b""),  # flush, releasedir, fsyncdir, access, destroy
        }

    def answer(self, operation: int, node: int, body: bytes) -> bytes:
        """Raises OSError."""
        if operation not in self._operations:
            raise OSError(errno.ENOSYS, "")
        return self._operations[operation](node, body)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _child(self, node: int, raw: bytes) -> str:
        """The path of a name: that of the entry that the file system takes for the same, if there is one."""
        folder, name = self._paths[node], os.fsdecode(raw)
        folds = not (self._quirks.by_directory and folder.startswith(".modelcache"))
        if folds and not os.path.lexists(self._at(f"{folder}/{name}")):
            wanted = self._quirks.fold(name)
            with suppress(OSError):
                names = os.listdir(self._at(folder))
                name = next((each for each in names if self._quirks.fold(each) == wanted), name)
        return f"{folder}/{name}" if folder else name

    def _new_child(self, node: int, raw: bytes) -> str:
        refuse(errno.EINVAL if set(os.fsdecode(raw)) & set(self._quirks.refused) else 0)
        refuse(errno.ENAMETOOLONG if len(raw) > self._quirks.name_max else 0)
        return self._child(node, raw)

    def _node(self, path: str) -> int:
        if path not in self._nodes:
            self._last += 1
            self._nodes[path], self._paths[self._last] = self._last, path
        return self._nodes[path]

    def _below(self, path: str) -> list[str]:
        return [each for each in self._nodes if each == path or each.startswith(f"{path}/")]

    def _forget(self, path: str) -> None:
        """A node that lost its name lives on while it is open."""
        for each in self._below(path):
            del self._nodes[each]

    def _stat(self, node: int) -> os.stat_result:
        path = self._paths[node]
        open_ = next((self._descriptors[handle] for handle, each in self._writers.items() if each == node), None)
        if open_ is not None and self._nodes.get(path) != node:
            return os.fstat(open_)
        return os.lstat(self._at(path))

    def _packed(self, node: int, state: os.stat_result) -> bytes:
        step = self._quirks.round_s * NS if stat.S_ISREG(state.st_mode) else 0
        times = state.st_atime_ns, state.st_mtime_ns - (state.st_mtime_ns % step if step else 0), state.st_ctime_ns
        seconds, rest = zip(*(divmod(each, NS) for each in times), strict=True)
        owner = state.st_mode, state.st_nlink, state.st_uid, state.st_gid, 0, 4096, 0
        return struct.pack(ATTRIBUTES, node, state.st_size, state.st_blocks, *seconds, *rest, *owner)

    def _entry(self, path: str) -> bytes:
        state = os.lstat(self._at(path))
        node = self._node(path)
        return struct.pack(ENTRY, node, 0, 0, 0, 0, 0) + self._packed(node, state)

    def _begin(self, node: int, body: bytes) -> bytes:
        _, minor, read_ahead, flags = struct.unpack_from("<IIII", body)
        head = struct.pack(
            "<IIIIHHIIHHI", 7, min(minor, 31), read_ahead, flags & 0x28, 12, 9, BIGGEST_WRITE, 1, 32, 0, 0
        )
        return head + bytes(28)

    def _look_up(self, node: int, body: bytes) -> bytes:
        return self._entry(self._child(node, body.rstrip(b"\0")))

    def _attributes(self, node: int, body: bytes) -> bytes:
        return bytes(16) + self._packed(node, self._stat(node))

    def _change(self, node: int, body: bytes) -> bytes:
        valid, _, handle, size = struct.unpack_from("<IIQQ", body)
        atime, mtime, _, atime_ns, mtime_ns, _, mode, _, uid, gid = struct.unpack_from("<QQQIIIIIII", body, 32)
        target: int | str = self._descriptors[handle] if valid & 64 else self._at(self._paths[node])
        if valid & 8:
            self._check_size(size)
            os.truncate(target, size)
        if valid & 1:
            os.chmod(target, stat.S_IMODE(mode))
        if valid & 6:
            os.chown(target, uid if valid & 2 else -1, gid if valid & 4 else -1)
        if valid & 0x30:
            now, state = time.time_ns(), os.stat(target)
            accessed = now if valid & 0x80 else atime * NS + atime_ns if valid & 16 else state.st_atime_ns
            changed = now if valid & 0x100 else mtime * NS + mtime_ns if valid & 32 else state.st_mtime_ns
            os.utime(target, ns=(accessed, changed))
        return self._attributes(node, b"")

    def _read_link(self, node: int, body: bytes) -> bytes:
        return os.fsencode(os.readlink(self._at(self._paths[node])))

    def _symlink(self, node: int, body: bytes) -> bytes:
        refuse(self._quirks.link_errno)
        name, target = body.split(b"\0")[:2]
        path = self._new_child(node, name)
        os.symlink(os.fsdecode(target), self._at(path))
        return self._entry(path)

    def _link(self, node: int, body: bytes) -> bytes:
        refuse(self._quirks.link_errno)
        target = struct.unpack_from("<Q", body)[0]
        path = self._new_child(node, body[8:].rstrip(b"\0"))
        os.link(self._at(self._paths[target]), self._at(path))
        self._nodes[path] = target
        return self._entry(path)

    def _mkdir(self, node: int, body: bytes) -> bytes:
        path = self._new_child(node, body[8:].rstrip(b"\0"))
        os.mkdir(self._at(path))
        return self._entry(path)

    def _remove(self, remove: Callable[[str], None], node: int, body: bytes) -> bytes:
        path = self._child(node, body.rstrip(b"\0"))
        remove(self._at(path))
        self._forget(path)
        return b""

    def _rename(self, head: int, node: int, body: bytes) -> bytes:
        refuse(self._quirks.rename_errno)
        before, after = body[head:].split(b"\0")[:2]
        old, new = self._child(node, before), self._new_child(struct.unpack_from("<Q", body)[0], after)
        refuse(self._quirks.rename_open_errno if self._nodes.get(old) in self._writers.values() else 0)
        os.rename(self._at(old), self._at(new))
        if self._quirks.fresh_time:
            os.utime(self._at(new), follow_symlinks=False)
        self._forget(new)
        for path in self._below(old):
            moved = self._nodes.pop(path)
            if not self._quirks.fresh_inode:
                now = new + path[len(old) :]
                self._nodes[now], self._paths[moved] = moved, now
        return b""

    def _create(self, node: int, body: bytes) -> bytes:
        flags, mode, umask = struct.unpack_from("<III", body)
        refuse(self._quirks.exclusive_errno if flags & os.O_EXCL else 0)
        path = self._new_child(node, body[16:].rstrip(b"\0"))
        flags = flags & (os.O_EXCL | os.O_TRUNC) | os.O_RDWR | os.O_CREAT
        descriptor = os.open(self._at(path), flags, mode & 0o7777 & ~umask)
        return self._entry(path) + self._handle(descriptor, self._nodes[path])

    def _open(self, node: int, body: bytes) -> bytes:
        flags = struct.unpack_from("<I", body)[0]
        writes = flags & os.O_ACCMODE != os.O_RDONLY
        access = os.O_RDWR | flags & os.O_TRUNC if writes else os.O_RDONLY
        return self._handle(os.open(self._at(self._paths[node]), access), node if writes else None)

    def _handle(self, descriptor: int, writer: int | None) -> bytes:
        self._descriptors[descriptor] = descriptor
        if writer is not None:
            self._writers[descriptor] = writer
        return struct.pack("<QII", descriptor, 0, 0)

    def _release(self, node: int, body: bytes) -> bytes:
        handle = struct.unpack_from("<Q", body)[0]
        os.close(self._descriptors.pop(handle))
        self._writers.pop(handle, None)
        return b""

    def _read(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(self._descriptors[handle], size, offset)

    def _write(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        descriptor = self._descriptors[handle]
        self._check_size(offset + size)
        refuse(errno.EOPNOTSUPP if self._quirks.sequential and offset != os.fstat(descriptor).st_size else 0)
        return struct.pack("<II", os.pwrite(descriptor, body[40 : 40 + size], offset), 0)

    def _check_size(self, size: int) -> None:
        refuse(errno.EFBIG if 0 < self._quirks.file_max < size else 0)

    def _fsync(self, node: int, body: bytes) -> bytes:
        refuse(self._quirks.fsync_errno)
        return b""

    def _space(self, node: int, body: bytes) -> bytes:
        s = os.statvfs(self._root)
        sizes = s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, s.f_bsize, 255, s.f_frsize, 0
        return struct.pack("<QQQQQIIII", *sizes) + bytes(24)

    def _list(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        folder, listed = self._at(self._paths[node]), b""
        for number, name in enumerate(sorted(os.listdir(folder))[offset:], offset + 1):
            state, raw = os.lstat(f"{folder}/{name}"), os.fsencode(name)
            entry = struct.pack("<QQII", state.st_ino, number, len(raw), state.st_mode >> 12) + raw
            entry += bytes(-len(entry) % 8)
            if len(listed) + len(entry) > size:
                break
            listed += entry
        return listed


def refuse(number: int) -> None:
    """Raises OSError unless the number is 0."""
    if number:
        raise OSError(number, os.strerror(number))


def serve(backing: str, place: str, quirks: Quirks) -> None:
    """Until the input ends, which it does in any case when the process that started this one dies."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"quirkfs", os.fsencode(place), b"fuse", 6, options.encode()):
        print(os.strerror(ctypes.get_errno()), flush=True)
        return
    detach = 2
    threading.Thread(target=lambda: (sys.stdin.read(), libc.umount2(os.fsencode(place), detach)), daemon=True).start()
    print("mounted", flush=True)
    system = FileSystem(backing, quirks)
    while True:
        try:
            request = os.read(device, BIGGEST_WRITE + 8192)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            continue
        _, operation, unique, node = struct.unpack_from("<IIQQ", request)
        if operation in (2, 36, 42):  # forget and interrupt want no answer
            continue
        answer, code = b"", 0
        try:
            answer = system.answer(operation, node, request[40:])
        except OSError as error:
            code = error.errno or errno.EIO
        except KeyError:
            code = errno.ESTALE
        with suppress(OSError):
            os.write(device, struct.pack("<IiQ", 16 + len(answer), -code, unique) + answer)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], Quirks(**json.loads(sys.argv[3])))
