"""Unpack an archive into a layer's ``diff`` directory, without letting it out of there.

An image is somebody else's data, unpacked by root. Its names are walked by openat2(2) with
RESOLVE_IN_ROOT: links and ``..`` end at the directory, as if it were ``/`` already. That is not
only safe but also right: ``/bin`` is often a link to ``usr/bin``, and ``bin/sh`` belongs there.
Within a directory each file is made by its last name alone, new, never through something that is
there; and its owner, mode and attributes are set through its descriptor, for a container may be
at work in the same directory (``cp``, volumes): see ``kernel.beneath``.

A layer also takes files away. In an archive that is a name, ``.wh.<file>``; on disk, in overlayfs,
a character device 0/0 called ``<file>``. ``.wh..wh..opq`` empties the directory that it is in: the
extended attribute ``trusted.overlay.opaque`` (OCI image specification, "Whiteouts"; the kernel's
filesystems/overlayfs).
"""

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from mydocker.kernel import beneath, files
from mydocker.kernel.errors import Failure, Invalid, KernelError, by_errno
from mydocker.overlay2 import holes, notes
from mydocker.overlay2.tarformat import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    SYMLINK,
    Entry,
    Reader,
)

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"

_KEPT_OPEN = 64  # directories; most files lie in the directory of the file before
_LATEST = 2**63 - 1  # nanoseconds since 1970 that fit the kernel's count: the year 2262
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WALK = os.O_PATH | os.O_DIRECTORY
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_WHY = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The disk quota is used up",
    errno.EPERM: "To give files their owners, and to make device nodes, takes root: use sudo",
    errno.ENOTSUP: "The file system under --root cannot keep this; use ext4, xfs or btrfs",
    errno.ENAMETOOLONG: "One part of a name has at most 255 bytes, the whole 4095",
}


class UnsafeArchive(Invalid):
    """An archive that wants to write outside of its directory."""


_DAMAGED = "The archive is damaged: make it again, or fetch it again"


def unpack(reader: Reader, directory: str, progress: Callable[[int], None] | None = None) -> int:
    """Unpack all entries below the existing ``directory``; the sum of the files' sizes in bytes.

    ``progress`` is told the bytes of the archive that are done. Raises Failure in one line for
    whatever is wrong with the archive or the disk; what was unpacked until then stays for the
    caller to remove. Owners and devices need root (CAP_CHOWN, CAP_MKNOD), whiteouts CAP_SYS_ADMIN.
    """
    with _Unpacking(reader, directory) as unpacking:
        for count, entry in enumerate(reader):
            unpacking.one(entry)
            if progress and count % 64 == 0:
                progress(reader.position)
        unpacking.set_directory_times()
    return unpacking.size


def _parts(name: bytes) -> list[bytes]:
    """The name's parts: ``/a/./b/../c`` is [a, c]. Raises UnsafeArchive for ``../x``.

    A leading slash is dropped, as tar(1) and Docker do: the archive's root is the container's.
    """
    # lab 3.4: names that stay inside
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise UnsafeArchive(
                    f"the archive wants to write outside of its root: {os.fsdecode(name)!r}",
                    "It was made to do harm, or by mistake; nothing of it was kept",
                )
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return parts
    # end lab


class _Unpacking:
    """One archive on its way into one directory."""

    def __init__(self, reader: Reader, directory: str) -> None:
        self.size = 0
        self._reader = reader
        self._root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[bytes, int] = {}
        # To make a file in a directory changes the directory's time, so theirs are set at the end.
        # They are kept in a nameless file: a million directories must not fill the memory.
        self._times = _nameless_file(directory)
        self._make = {
            FILE: self._file,
            HARD_LINK: self._hard_link,
            SYMLINK: self._symlink,
            CHARACTER: self._node,
            BLOCK_DEVICE: self._node,
            DIRECTORY: self._directory,
            FIFO: self._node,
        }

    def __enter__(self) -> "_Unpacking":
        return self

    def __exit__(self, *_: object) -> None:
        self._forget_directories()
        self._times.close()
        os.close(self._root)

    def one(self, entry: Entry) -> None:
        """Make what ``entry`` says."""
        try:
            parts = _parts(entry.name)
            if not parts:
                self._root_itself(entry)
            elif parts[-1].startswith(WHITEOUT):
                self._whiteout(b"/".join(parts[:-1]), parts[-1])
            else:
                parent = self._parent(b"/".join(parts[:-1]))
                self._make[entry.kind](entry, parent, parts[-1])
        except OSError as error:
            raise self._failure(entry, error) from None
        except (OverflowError, ValueError):  # of Python's own, before the kernel is asked
            what = "an owner, device or name in its header is none"
            raise Invalid(f"cannot unpack {os.fsdecode(entry.name)!r}: {what}", _DAMAGED) from None

    def _failure(self, entry: Entry, error: OSError) -> Failure:
        name, number = os.fsdecode(entry.name), error.errno or 0
        hint = _WHY.get(number, "")
        if number == errno.ENOTDIR or number == errno.ELOOP:
            hint = "The archive has a file, or a link to one, where this name needs a directory"
        if number == errno.ENOENT and entry.kind == HARD_LINK:
            hint = f"It is a hard link to {os.fsdecode(entry.linkname)!r}, which is not there"
        return by_errno(number)(f"cannot unpack {name!r}: {os.strerror(number)}", hint)

    # ------------------------------------------------------------ directories

    def _forget_directories(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def _parent(self, path: bytes) -> int:
        """The directory ``path``, made if it is missing, as a descriptor that stays ours."""
        fd = self._open.get(path)
        if fd is not None:
            return fd
        if len(self._open) >= _KEPT_OPEN:
            self._forget_directories()
        try:
            fd = self._walk(path)
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise
            self._make_missing(path)
            fd = self._walk(path)
        self._open[path] = fd
        return fd

    def _walk(self, path: bytes) -> int:
        return beneath.find(self._root, path, _WALK)

    def _make_missing(self, path: bytes) -> None:
        """Directories that the archive uses without having them get the usual mode."""
        fd = os.dup(self._root)
        try:
            done: list[bytes] = []
            for part in path.split(b"/"):
                done.append(part)
                try:
                    below = self._walk(b"/".join(done))
                except KernelError as error:
                    if error.errno != errno.ENOENT:
                        raise
                    os.mkdir(part, 0o755, dir_fd=fd)
                    below = beneath.made(fd, part, stat.S_IFDIR)
                    os.chmod(beneath.path(below), 0o755)
                os.close(fd)
                fd = below
        finally:
            os.close(fd)

    def _root_itself(self, entry: Entry) -> None:
        if entry.kind != DIRECTORY:
            raise NotADirectoryError(errno.ENOTDIR, "the root")
        self._finish_directory(entry, beneath.open_directory(self._root, b"."))

    def _directory(self, entry: Entry, parent: int, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            there = os.lstat(name, dir_fd=parent)
            if not stat.S_ISDIR(there.st_mode):
                self._replace(parent, name, there)
                os.mkdir(name, 0o700, dir_fd=parent)
                if _is_whiteout(there):  # first taken away, then made anew: nothing shines through
                    self._set_opaque(parent, name)
        self._finish_directory(entry, _opened(parent, name))

    def _finish_directory(self, entry: Entry, fd: int) -> None:
        """Owner, mode and attributes by the descriptor, which is closed."""
        try:
            self._own(entry, fd)
        finally:
            os.close(fd)
        record = b"/".join(_parts(entry.name))
        self._times.write(struct.pack("=Hq", len(record), _time(entry)) + record)

    def set_directory_times(self) -> None:
        """Give the directories the times of the archive; nothing more is made in them."""
        self._times.seek(0)
        while head := self._times.read(10):
            length, mtime = struct.unpack("=Hq", head)
            path = self._times.read(length)
            try:
                fd = beneath.find(self._root, path, _LIST)
            except OSError:
                continue  # the archive itself replaced it by something else later
            try:
                os.utime(fd, ns=(mtime, mtime))
            finally:
                os.close(fd)

    # ------------------------------------------------------------ files

    def _new(self, parent: int, name: bytes, make: Callable[[], int | None]) -> int | None:
        """``make`` something called ``name``; what an earlier entry made there has to go."""
        try:
            return make()
        except FileExistsError:
            self._replace(parent, name, os.lstat(name, dir_fd=parent))
            return make()

    def _replace(self, parent: int, name: bytes, there: os.stat_result) -> None:
        """An archive may have a name twice, and then the later entry counts."""
        if stat.S_ISDIR(there.st_mode):
            files.remove_tree(beneath.path(parent, name), why="the archive replaces it")
        else:
            os.unlink(name, dir_fd=parent)
        # A remembered path may lead through what was just removed.
        for path in [path for path, fd in self._open.items() if fd != parent]:
            os.close(self._open.pop(path))

    def _file(self, entry: Entry, parent: int, name: bytes) -> None:
        fd = self._new(parent, name, lambda: os.open(name, _NEW, 0o600, dir_fd=parent))
        assert fd is not None
        try:
            if entry.holes_between is None:
                for piece in self._reader.data():
                    holes.write(fd, piece)
            else:
                self._sparse(fd, entry, entry.holes_between)
            self._own(entry, fd)
            mtime = _time(entry)
            os.utime(fd, ns=(mtime, mtime))
        finally:
            os.close(fd)
        self.size += entry.size

    def _sparse(self, fd: int, entry: Entry, pieces: list[tuple[int, int]]) -> None:
        """Write the pieces to where they belong; what lies between takes no room on the disk."""
        os.ftruncate(fd, entry.size)
        data = self._reader.data()
        rest = memoryview(b"")
        for offset, length in pieces:
            os.lseek(fd, offset, os.SEEK_SET)
            while length:
                rest = rest or next(data)
                _write(fd, rest[:length])
                rest, length = rest[length:], length - len(rest[:length])

    def _hard_link(self, entry: Entry, parent: int, name: bytes) -> None:
        target = _parts(entry.linkname)
        if not target:
            raise IsADirectoryError(errno.EISDIR, "the root")
        source = self._walk(b"/".join(target[:-1]))
        try:
            if self._same(source, target[-1], parent, name):
                return
            self._new(
                parent,
                name,
                lambda: os.link(
                    target[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
                ),
            )
        finally:
            os.close(source)

    def _same(self, source: int, target: bytes, parent: int, name: bytes) -> bool:
        """True for a link that is there already or to itself: replacing it would lose it."""
        try:
            there = os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.lstat(target, dir_fd=source))

    def _symlink(self, entry: Entry, parent: int, name: bytes) -> None:
        self._new(parent, name, lambda: os.symlink(entry.linkname, name, dir_fd=parent))
        self._own_held(entry, beneath.made(parent, name, stat.S_IFLNK))

    def _node(self, entry: Entry, parent: int, name: bytes) -> None:
        kind = {CHARACTER: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}[entry.kind]
        device = 0 if entry.kind == FIFO else os.makedev(*entry.device)
        self._new(parent, name, lambda: os.mknod(name, 0o600 | kind, device, dir_fd=parent))
        self._own_held(entry, beneath.made(parent, name, kind, device), entry.mode)

    # ------------------------------------------------------------ what a layer takes away

    def _whiteout(self, path: bytes, name: bytes) -> None:
        if name == OPAQUE:
            self._parent(path)
            above, _, last = path.rpartition(b"/")
            self._set_opaque(self._parent(above), last or b".")
            return
        if name.startswith(WHITEOUT * 2):
            return  # notes that aufs, an older union file system, made for itself
        gone = name[len(WHITEOUT) :]
        if gone in (b"", b".", b".."):
            raise UnsafeArchive(f"the archive takes away {os.fsdecode(path + b'/' + gone)!r}")
        # lab 3.5: what a layer takes away
        parent = self._parent(path)
        try:
            os.mknod(gone, 0o600 | stat.S_IFCHR, 0, dir_fd=parent)
        except FileExistsError:
            # Made by this very layer, so it stays: a whiteout is about the layers below.
            if stat.S_ISDIR(os.lstat(gone, dir_fd=parent).st_mode):
                self._set_opaque(parent, gone)
        # end lab

    def _set_opaque(self, parent: int, name: bytes) -> None:
        fd = _opened(parent, name)
        try:
            os.setxattr(fd, f"{notes.prefix()}opaque", b"y")
        finally:
            os.close(fd)

    # ------------------------------------------------------------ owner, mode, attributes, time

    def _own(self, entry: Entry, fd: int) -> None:
        os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)  # after the owner: a change of owner takes set-uid away
        for name, value in _xattrs(entry):
            _set_xattr(fd, name, value)

    def _own_held(self, entry: Entry, fd: int, mode: int | None = None) -> None:
        """For what cannot or must not be opened, links and devices: ``fd`` holds it (O_PATH), and
        is closed. A link has no mode."""
        try:
            itself = beneath.path(fd)
            os.chown(itself, entry.uid, entry.gid)
            if mode is not None:
                os.chmod(itself, mode)
            for key, value in _xattrs(entry):
                _set_xattr(itself, key, value)
            mtime = _time(entry)
            os.utime(itself, ns=(mtime, mtime))
        finally:
            os.close(fd)


def _opened(parent: int, name: bytes) -> int:
    """A directory that is there or was just made."""
    try:
        return beneath.open_directory(parent, name)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise beneath.Exchanged(name) from None
        raise


def _nameless_file(directory: str) -> BinaryIO:
    """A file on the disk that is gone with its last descriptor."""
    try:
        fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        return os.fdopen(fd, "w+b")
    except OSError as error:
        # overlayfs has no nameless files before Linux 6.3, and `cp` unpacks into a merged tree.
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
    from tempfile import TemporaryFile

    return cast(BinaryIO, TemporaryFile(dir="/var/tmp"))


def _is_whiteout(there: os.stat_result) -> bool:
    return stat.S_ISCHR(there.st_mode) and there.st_rdev == 0


def _write(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _time(entry: Entry) -> int:
    return max(-_LATEST, min(entry.mtime, _LATEST))


def _xattrs(entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    for name, value in entry.xattrs.items():
        # overlayfs's own notes, redirects among them, would let a layer show what is not its own.
        if not name.startswith((b"trusted.overlay.", b"user.overlay.")):
            yield name, value


def _set_xattr(file: int | str, name: bytes, value: bytes) -> None:
    """A file's capabilities are an attribute and must not be lost; others are where they can be."""
    try:
        os.setxattr(file, name, value)
    except OSError as error:
        if error.errno != errno.ENOTSUP or name == b"security.capability":
            raise
