"""A directory as a tar archive: the root of a container for ``export``, a layer for ``commit``.

The same files give the same bytes: names are sorted, and what belongs to this machine and not to
the files (inode numbers, access times, names of users) is left out. In each directory its files
come first and then the directories in it, so that one directory at a time has to be open, however
deep the tree is.

A layer on disk has overlayfs's notes in it; in the archive they become names (OCI image
specification, "Whiteouts"): a character device 0/0 called ``x`` becomes ``.wh.x``, a directory with
``trusted.overlay.opaque`` gets a file ``.wh..wh..opq``.

The tree may belong to a running container, so whatever is opened is opened below the root's
descriptor and through no symbolic link, and no device is (see ``kernel.beneath``).
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from mydocker.engine.trees import tarheader
from mydocker.kernel import beneath
from mydocker.kernel.errors import Conflict, Failure, KernelError, by_errno
from mydocker.overlay2 import holes, notes
from mydocker.overlay2.archive import OPAQUE, WHITEOUT
from mydocker.overlay2.tarformat import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    SYMLINK,
    Entry,
)

PIECE = 1 << 20
# overlayfs's own attributes stay here, also those that it does not believe because anybody in the
# container may set them: another machine may mount the layer so that they are believed (userxattr).
_NOTES = (notes.TRUSTED, notes.USER)
_OF_THE_MACHINE = ("security.selinux", "security.ima", "security.evm")
_PATH = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_USUAL = (0o755, 0, 0)  # mode and owner that everybody gives a root directory
# What a container gets to mount on, if its image does not have it (see ``rootfs``, and ``etc``)
_MOUNT_POINTS = {b"etc", b"etc/hosts", b"etc/hostname", b"etc/resolv.conf", b"dev", b"proc", b"sys"}
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFIFO: FIFO,
    stat.S_IFDIR: DIRECTORY,
}


def pack_tree(root: int, *, sparse: bool = False) -> Iterator[bytes]:
    """All below the directory ``root``, an open descriptor, as an archive in pieces of some MiB.

    ``sparse``: files with holes are written as GNU tar -S does, instead of with zeros. Not for
    layers: what Docker loads it must be able to write again, and it cannot write this.
    """
    return _Packing(root, sparse=sparse).pieces()


def pack_layer(upper: int, lower: Sequence[str], merged: Callable[[], int]) -> Iterator[bytes]:
    """The layer ``upper`` (the descriptor of its ``diff``) on top of the directories ``lower``.

    ``merged`` gives a descriptor of the root as the container sees it: asked for only if a part of
    the layer cannot be told without what lies below. Nothing at all changed: an empty archive.
    """
    return _Packing(upper, lower=lower, merged=merged).pieces()


def pack_named(parent: int, name: str, top: str) -> Iterator[bytes]:
    """What is called ``name`` in the directory ``parent``, file or tree, as ``top``: for ``cp``."""
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        yield from _Packing(parent).piece(name, status)
        return
    fd = beneath.open_directory(parent, name)
    try:
        yield from _Packing(fd, top=os.fsencode(top)).pieces()
    finally:
        os.close(fd)


class _Packing:
    def __init__(
        self,
        root: int,
        *,
        sparse: bool = False,
        top: bytes = b"",
        lower: Sequence[str] | None = None,
        merged: Callable[[], int] | None = None,
    ) -> None:
        self._root = root
        self._sparse = sparse
        self._lower = lower  # None: a plain tree, in which a device 0/0 is nothing special
        self._merged = merged
        self._top = top  # what the root is called, and all in it begins with
        self._below: list[int] = []  # descriptors of the lower directories
        self._first: dict[tuple[int, int], bytes] = {}  # of files with several names: inode, name
        self._waiting: list[bytes] = []
        self._size = 0

    def pieces(self) -> Iterator[bytes]:
        try:
            for lower in self._lower or ():
                self._below.append(os.open(lower, _PATH))
            yield from self._entries()
        finally:
            for fd in self._below:
                os.close(fd)
        yield from self._end()

    def piece(self, name: str, status: os.stat_result) -> Iterator[bytes]:
        """An archive of what is called ``name`` in the root, and is no directory."""
        encoded = os.fsencode(name)
        yield from self._other(self._root, self._root, encoded, encoded, status)
        yield from self._end()

    def _end(self) -> Iterator[bytes]:
        self._waiting.append(tarheader.END)
        yield b"".join(self._waiting)

    # ------------------------------------------------------------ the walk

    def _entries(self) -> Iterator[bytes]:
        pending = [(self._root, b"")]
        while pending:
            root, path = pending.pop()
            fd = self._open(root, path)
            if fd is None:
                continue  # removed by the container meanwhile
            try:
                # A directory's content right behind it: else GNU tar, which sets its time when it
                # leaves it, would have to come back.
                seen_from = self._directory(root, fd, path)
                if seen_from != root:
                    os.close(fd)
                    fd = -1
                    fd = self._reopened(seen_from, path)
                below = []
                for name in sorted(map(os.fsencode, os.listdir(fd))):
                    full = b"%s/%s" % (path, name) if path else name
                    try:
                        status = os.lstat(name, dir_fd=fd)
                    except FileNotFoundError:
                        continue
                    if self._for_mounting_only(fd, full, status):
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        below.append((seen_from, full))
                    else:
                        yield from self._other(seen_from, fd, full, name, status)
            finally:
                if fd >= 0:
                    os.close(fd)
            pending += reversed(below)

    def _for_mounting_only(self, fd: int, full: bytes, status: os.stat_result) -> bool:
        """True for what no program in the container made: places that we mounted things on.

        Docker makes them in a layer of their own, which it never commits.
        """
        if self._lower is None or full not in _MOUNT_POINTS:
            return False
        name = full.rpartition(b"/")[2]
        if full == b"etc":
            return self._same_below(full, status) and self._holds_mount_points_only(fd, name)
        if self._covers(full):
            return False
        if stat.S_ISDIR(status.st_mode):
            below = self._inside(fd, name)
            if below is None:
                return False
            try:
                return not os.listdir(below)
            finally:
                os.close(below)
        return stat.S_ISREG(status.st_mode) and status.st_size == 0

    def _holds_mount_points_only(self, fd: int, name: bytes) -> bool:
        below = self._inside(fd, name)
        if below is None:
            return False
        try:
            for inside in map(os.fsencode, os.listdir(below)):
                path = name + b"/" + inside
                if path not in _MOUNT_POINTS or not self._for_mounting_only(
                    below, path, os.lstat(inside, dir_fd=below)
                ):
                    return False
            return True
        except FileNotFoundError:
            return False
        finally:
            os.close(below)

    def _inside(self, fd: int, name: bytes) -> int | None:
        """A descriptor of the directory ``name`` in ``fd``; None if it is none."""
        try:
            return beneath.open_directory(fd, name)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise

    def _same_below(self, path: bytes, status: os.stat_result) -> bool:
        """True if the nearest layer that has the directory says the same about it."""
        for top in self._below:
            there = beneath.look(top, path)
            if there is not None:
                return _access(there) == _access(status)
        return False

    def _reopened(self, root: int, path: bytes) -> int:
        fd = self._open(root, path)
        if fd is None:
            raise Conflict(f"{os.fsdecode(path)!r} went while it was read", "Pause the container")
        return fd

    def _open(self, root: int, path: bytes) -> int | None:
        try:
            return beneath.descend(root, path)
        except KernelError as error:
            if error.errno in _GONE and path:
                return None
            raise by_errno(error.errno)(
                f"{os.fsdecode(path)!r} cannot be read: {error.strerror}"
            ) from None

    def _header(self, entry: Entry) -> None:
        if self._top:
            entry.name = b"%s/%s" % (self._top, entry.name) if entry.name else self._top
            if entry.kind == HARD_LINK:
                entry.linkname = b"%s/%s" % (self._top, entry.linkname)
        self._put(tarheader.encode(entry))

    def _put(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)

    def _full(self) -> Iterator[bytes]:
        """What is waiting, once it is enough for one write."""
        if self._size >= PIECE:
            yield b"".join(self._waiting)
            self._waiting, self._size = [], 0

    # ------------------------------------------------------------ entries

    def _entry(
        self, name: bytes, kind: bytes, status: os.stat_result, xattrs: dict[bytes, bytes]
    ) -> Entry:
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
        mode, mtime = stat.S_IMODE(status.st_mode), status.st_mtime_ns
        return Entry(
            name, kind, mode, status.st_uid, status.st_gid, 0, mtime, b"", device, xattrs
        )  # fmt: skip

    def _directory(self, root: int, fd: int, path: bytes) -> int:
        """One directory's own entry; the root below which its content is to be read."""
        status, attributes = os.fstat(fd), self._attributes(fd, follow=True)
        if path or self._top:
            self._header(self._entry(path, DIRECTORY, status, attributes))
        elif attributes or _access(status) != _USUAL:
            self._header(self._entry(b".", DIRECTORY, status, attributes))
        if self._lower is None or root != self._root or not path:
            return root
        if _note(fd, "redirect") is not None:
            # Renamed: what it brought along lies below under another name. It is told in full.
            self._opaque(path)
            assert self._merged
            return self._merged()
        if _note(fd, "opaque") == b"y" and self._covers(path):
            self._opaque(path)
        return root

    def _opaque(self, full: bytes) -> None:
        self._header(_mark(full + b"/" + OPAQUE))

    def _covers(self, path: bytes) -> bool:
        """True if a lower layer has anything there. overlayfs marks every new directory, to save
        itself the question."""
        return any(beneath.look(top, path) is not None for top in self._below)

    def _other(
        self, root: int, fd: int, full: bytes, name: bytes, status: os.stat_result
    ) -> Iterator[bytes]:
        layer = self._lower is not None and root == self._root
        if layer and (mark := self._deletion(fd, full, status)):
            self._header(mark)
            yield from self._full()
            return
        if self._lower is not None and name.startswith(WHITEOUT):
            raise Failure(
                f"{os.fsdecode(full)!r}: in a layer a name that begins with .wh. means that a file"
                " was deleted",
                "Rename the file, or export the container instead",
            )
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return  # a socket: it means nothing without the program that listens
        inode = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and inode in self._first:
            entry = self._entry(full, HARD_LINK, status, {})
            entry.linkname = self._first[inode]
            self._header(entry)
        elif kind == FILE:
            yield from self._file(root, fd, full, name)
            if status.st_nlink > 1:
                self._first[inode] = full
        else:
            entry = self._entry(full, kind, status, self._attributes(beneath.path(fd, name)))
            if kind == SYMLINK:
                entry.mode = 0o777
                try:
                    entry.linkname = os.readlink(name, dir_fd=fd)
                except OSError as error:
                    if error.errno in (errno.EINVAL, *_GONE):
                        return  # replaced meanwhile
                    raise
            self._header(entry)
            if status.st_nlink > 1:
                self._first[inode] = full
        yield from self._full()

    def _deletion(self, fd: int, full: bytes, status: os.stat_result) -> Entry | None:
        """The entry that tells of a deleted file; None if the file is there. ``full`` is its path
        in the layer, ``fd`` the directory that it is in."""
        # lab 5.2: a deletion in a layer's archive
        directory, slash, name = full.rpartition(b"/")
        if stat.S_ISCHR(status.st_mode):
            gone = status.st_rdev == 0
        else:  # where no devices can be made, since Linux 6.7: an empty file with an attribute
            empty = stat.S_ISREG(status.st_mode) and status.st_size == 0
            path = f"/proc/self/fd/{fd}/{os.fsdecode(name)}"
            gone = empty and _note(path, "whiteout") is not None
        return _mark(directory + slash + WHITEOUT + name) if gone else None
        # end lab

    # ------------------------------------------------------------ files

    def _file(self, root: int, fd: int, full: bytes, name: bytes) -> Iterator[bytes]:
        try:
            file = beneath.open_file(fd, name)
        except OSError as error:
            if error.errno in _GONE:
                return
            raise by_errno(error.errno)(
                f"{os.fsdecode(full)!r} cannot be read: {error.strerror}"
            ) from None
        try:
            attributes = self._attributes(file, follow=True)
            if self._lower is not None and root == self._root and self._data_lies_below(file):
                yield from self._data_below(full)
                return
            status = os.fstat(file)
            entry = self._entry(full, FILE, status, attributes)
            entry.size = entry.stored = status.st_size
            holes = 0 < status.st_blocks * 512 < status.st_size or (
                status.st_blocks == 0 and status.st_size > 0
            )
            if holes:
                yield from self._holey(file, entry)
            else:
                self._header(entry)
                yield from self._data(file, 0, entry.size)
            self._put(tarheader.padding(entry.stored))
        finally:
            os.close(file)

    def _data_lies_below(self, file: int) -> bool:
        return _note(file, "metacopy") is not None

    def _data_below(self, full: bytes) -> Iterator[bytes]:
        """Only owner or mode were changed, and the data still lies below: as the container sees
        it."""
        assert self._merged
        root = self._merged()
        parent = self._open(root, full.rpartition(b"/")[0])
        if parent is not None:
            try:
                yield from self._file(root, parent, full, full.rpartition(b"/")[2])
            finally:
                os.close(parent)

    def _data(self, file: int, offset: int, size: int) -> Iterator[bytes]:
        """``size`` bytes from ``offset`` on; zeros for what the container cut off meanwhile."""
        while size:
            data = os.pread(file, min(size, PIECE), offset) or bytes(min(size, PIECE))
            self._put(data)
            yield from self._full()
            offset, size = offset + len(data), size - len(data)

    def _holey(self, file: int, entry: Entry) -> Iterator[bytes]:
        """Holes are not read; they are written as zeros, or, if ``sparse``, as a map."""
        pieces = list(holes.islands(file, entry.size))
        if self._sparse:
            ends_in_hole = not pieces or sum(pieces[-1]) < entry.size
            entry.holes_between = [*pieces, *([(entry.size, 0)] if ends_in_hole else [])]
            entry.stored = sum(length for _, length in pieces)
        self._header(entry)
        end = 0
        for offset, length in [*pieces, (entry.size, 0)]:
            if not self._sparse:
                yield from self._zeros(offset - end)
            yield from self._data(file, offset, length)
            end = offset + length

    def _zeros(self, count: int) -> Iterator[bytes]:
        while count:
            self._put(bytes(min(count, PIECE)))
            count -= min(count, PIECE)
            yield from self._full()

    # ------------------------------------------------------------ attributes

    def _attributes(self, file: int | str, follow: bool = False) -> dict[bytes, bytes]:
        """The extended attributes that belong to the file, and not to overlayfs or this machine."""
        try:
            names = os.listxattr(file) if follow else os.listxattr(file, follow_symlinks=False)
            return {
                os.fsencode(name): os.getxattr(file, name)
                if follow
                else os.getxattr(file, name, follow_symlinks=False)
                for name in names
                if not name.startswith(_NOTES) and name not in _OF_THE_MACHINE
            }
        except OSError as error:
            if error.errno in (errno.ENOTSUP, errno.ENODATA, *_GONE):
                return {}
            raise


def _access(status: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def _note(file: int | str, name: str) -> bytes | None:
    """One of overlayfs's attributes; None if it is not there."""
    try:
        if isinstance(file, int):
            return os.getxattr(file, notes.prefix() + name)
        return os.getxattr(file, notes.prefix() + name, follow_symlinks=False)
    except OSError:
        return None


def _mark(name: bytes) -> Entry:
    """An empty file whose name is all that counts."""
    return Entry(name, FILE, 0, 0, 0, 0, 0, b"", (0, 0))
