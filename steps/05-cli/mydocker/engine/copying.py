"""``cp``: files between the host and a container, running or not.

A running container can exchange any of its directories for a link to ``/etc`` while we copy, and
its files are not ours: so no path of its is ever followed by the host. Its places are found by
openat2(2), which stays below its root, and what is in them is reached by descriptor and one name,
what was made there too (``kernel.beneath``; CVE-2018-15664). CVE-2019-14271 teaches the other half:
nothing of the container's is executed or loaded.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from mydocker.engine.records.state import State
from mydocker.engine.records.store import Store
from mydocker.engine.truth import changing, look
from mydocker.kernel import beneath
from mydocker.kernel.errors import Conflict, Invalid, KernelError, NotFound, by_errno
from mydocker.kernel.records import field, mutable_record, record
from mydocker.overlay2 import holes

_PIECE = 1 << 20
_UNTOLD = 64 << 20  # bytes of a file that says it has none, as those of /proc do, and has some
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ESTALE)


@contextmanager
def root_of(store: Store, identifier: str, *, write: bool = False) -> Iterator[int]:
    """A descriptor of the container's root: with its volumes if it runs, else its layers.

    ``write``: of a container that does not run, to be written to; it cannot start meanwhile.
    """
    state = look(store, identifier)
    with ExitStack() as stack:
        fd = _running(state) if state.up else -1
        if fd < 0:
            from mydocker.engine.life.creation import need_layer, need_layer_locked
            from mydocker.engine.trees import view

            if write:
                _, state = stack.enter_context(changing(store, identifier))
                if state.active:
                    raise Conflict(f"Container {identifier[:12]} was started just now", "Try again")
                need_layer_locked(store, identifier)
                fd = view.writable_root(store.root, identifier)
            else:
                need_layer(store, identifier)
                fd = view.container_root(store.root, identifier)
        stack.callback(os.close, fd)
        yield fd


def _running(state: State) -> int:
    """The root of its first process; -1 if that ended just now."""
    try:
        fd = os.open(f"/proc/{state.process.pid}/root", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1
    if not state.process.alive():  # and the pid may be another's
        os.close(fd)
        return -1
    return fd


@record
class Place:
    """A place to copy from or to: a name in a directory, and what is there now, if anything.

    ``inner``: the path said ``/.``, so that the contents are meant; ``shown`` is for messages.
    """

    parent: int
    name: str
    status: os.stat_result | None
    inner: bool
    shown: str

    @property
    def is_directory(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)


def find(root: int, path: str, shown: str, *, follow: bool = False) -> Place:
    """The place ``path`` below the descriptor ``root``. The caller closes ``parent``.

    ``follow``: if it is a symbolic link, what it leads to. Raises NotFound if its directory is not
    there.
    """
    inner = path.endswith("/.") or path == "."
    asks_directory = path.endswith("/")
    path = "/" + path.strip("/").removesuffix("/.").rstrip("/")
    if follow:
        path = _followed(root, path)
    above, _, name = path.rpartition("/")
    parent = _open(root, above or "/", shown)
    if not name or name in (".", ".."):
        os.close(parent)
        parent, name = _open(root, path, shown), "."
    try:
        status: os.stat_result | None = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        status = None
    if status is not None and asks_directory and not stat.S_ISDIR(status.st_mode):
        os.close(parent)
        raise Invalid(f"{shown}: not a directory")
    return Place(parent, name, status, inner, shown)


def _open(root: int, path: str, shown: str) -> int:
    """A descriptor to work in for a directory below ``root``."""
    try:
        return beneath.find(root, path, _DIRECTORY)
    except KernelError as error:
        if error.errno == errno.EAGAIN:
            raise Conflict(f"{shown}: changes all the time") from None
        raise by_errno(error.errno, named=True)(
            f"{shown}: {os.strerror(error.errno or 0).lower()}"
        ) from None


def _followed(root: int, path: str) -> str:
    """Where a link leads below ``root``; the path itself if it is none, or nothing is there."""
    try:
        fd = beneath.find(root, path, os.O_PATH)
    except KernelError:
        return path
    try:
        # The kernel tells the path from our own root; what lies above the container's is cut off.
        whole, top = os.readlink(f"/proc/self/fd/{fd}"), os.readlink(f"/proc/self/fd/{root}")
    finally:
        os.close(fd)
    prefix = top.rstrip("/")
    return whole[len(prefix) :] or "/" if whole.startswith(prefix) else path


def copy(source: Place, target: Place, *, owner: bool) -> None:
    """Copy a file or a tree, in Docker's way with names.

    Into an existing directory under the source's name; to a name that is not there as that.
    ``owner``: keep uid and gid, else what is new belongs to root. Raises Failure.
    """
    if source.status is None:
        raise NotFound(f"{source.shown}: no such file or directory")
    copying = _Copying(owner, source.shown, target.shown)
    try:
        _copy(copying, source, source.status, target)
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "Somebody changed it meanwhile")
        said = os.strerror(error.errno or 0).lower()
        raise by_errno(error.errno)(f"{source.shown} to {target.shown}: {said}", hint) from None


_HINTS = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The disk quota is used up",
    errno.EROFS: "The target is for reading only",
    errno.ENAMETOOLONG: "One part of a name has at most 255 bytes",
    errno.EFBIG: "The file is too big for the target's filesystem",
    errno.EBUSY: "Something is mounted there",
}


def _copy(copying: "_Copying", source: Place, status: os.stat_result, target: Place) -> None:
    if source.is_directory:
        if target.status is not None and not target.is_directory:
            raise Invalid("cannot copy a directory over a file", target.shown)
        with _opened(source.parent, source.name) as below:
            if not target.is_directory:
                copying.directory(below, status, target.parent, target.name)
                return
            with _opened(target.parent, target.name) as into:
                if source.inner or source.name == ".":
                    copying.contents(below, into)
                else:
                    copying.directory(below, status, into, source.name)
        return
    if source.inner:
        raise Invalid(f"{source.shown}: not a directory")
    if target.is_directory:
        with _opened(target.parent, target.name) as into:
            copying.one(source.parent, source.name, status, into, source.name)
    elif target.shown.endswith("/"):
        raise NotFound(f"{target.shown}: the destination directory must exist")
    else:
        copying.one(source.parent, source.name, status, target.parent, target.name)


@contextmanager
def _opened(parent: int, name: str) -> Iterator[int]:
    try:
        fd = beneath.open_directory(parent, name)
    except OSError as error:
        said = os.strerror(error.errno or 0).lower()
        raise by_errno(error.errno)(f"{name!r}: {said}", "Somebody changed it meanwhile") from None
    try:
        yield fd
    finally:
        os.close(fd)


@record
class _Level:
    """A directory on the way down: its path below both tops, what it is, what is left in it."""

    path: bytes
    status: os.stat_result
    below: list[str]


@mutable_record
class _Copying:
    """One copy; files with several names are linked again.

    It walks by paths below the two tops, which hold however deep the tree is, and has two
    directories open at a time.
    """

    owner: bool
    source: str  # both as the reader wrote them
    target: str
    top: int = -1
    first: dict[tuple[int, int], tuple[bytes, str]] = field(default_factory=dict)

    def directory(self, source: int, status: os.stat_result, target: int, name: str) -> None:
        """A directory, by its descriptor, as ``name`` in ``target``; merged with what is there."""
        self._make(target, name)
        with _opened(target, name) as into:
            self.contents(source, into)
            self._finish(source, into, status)

    def contents(self, source: int, target: int) -> None:
        """Everything in a directory, into another one."""
        self.top = target
        self.first.clear()
        levels = [_Level(b"", os.fstat(source), self._files(source, target, b""))]
        while levels:
            level = levels[-1]
            if level.below:
                self._descend(source, target, levels, level.below.pop())
                continue
            levels.pop()
            if levels:  # not the top: its owner and mode are its caller's
                with _below(source, level.path) as old, _below(target, level.path) as new:
                    if old is not None and new is not None:
                        self._finish(old, new, level.status)

    def _descend(self, source: int, target: int, levels: list[_Level], name: str) -> None:
        """Make a directory of the current level, and go into it."""
        above = levels[-1].path
        path = os.path.join(above, os.fsencode(name))
        with _below(source, path) as old:
            if old is None:
                return  # it vanished
            with _below(target, above) as parent:
                if parent is None:
                    raise beneath.Exchanged(above)
                self._make(parent, name)
                with _opened(parent, name) as new:
                    levels.append(_Level(path, os.fstat(old), self._files(old, new, path)))

    def _make(self, target: int, name: str) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=target)
        except FileExistsError:
            there = os.stat(name, dir_fd=target, follow_symlinks=False)
            if not stat.S_ISDIR(there.st_mode):
                raise Invalid(f"cannot overwrite non-directory {name!r} with a directory") from None

    def _finish(self, source: int, into: int, status: os.stat_result) -> None:
        if self.owner:
            os.fchown(into, status.st_uid, status.st_gid)
        os.fchmod(into, stat.S_IMODE(status.st_mode))
        _copy_attributes(source, into)
        os.utime(into, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _files(self, source: int, target: int, path: bytes) -> list[str]:
        """Copy what is in a directory, but for the directories; their names, the last first."""
        below = []
        for name in sorted(os.listdir(source)):
            try:
                status = os.stat(name, dir_fd=source, follow_symlinks=False)
            except FileNotFoundError:
                continue  # removed meanwhile
            if stat.S_ISDIR(status.st_mode):
                below.append(name)
            elif status.st_nlink == 1 or not self._link(status, path, target, name):
                self.one(source, name, status, target, name)
        return below[::-1]

    def _link(self, status: os.stat_result, path: bytes, target: int, name: str) -> bool:
        """Make one more name of a file that was copied; False if this is its first."""
        place = self.first.setdefault((status.st_dev, status.st_ino), (path, name))
        if place == (path, name):
            return False
        with _below(self.top, place[0]) as there:
            if there is None:
                return False
            try:
                self._unlink(target, name)
                ends = {"src_dir_fd": there, "dst_dir_fd": target}
                os.link(place[1], name, **ends, follow_symlinks=False)
            except FileNotFoundError:
                return False
        return True

    def _unlink(self, target: int, name: str) -> None:
        try:
            os.unlink(name, dir_fd=target)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            raise Invalid(f"cannot overwrite directory {name!r} with non-directory") from None

    def one(self, source: int, name: str, status: os.stat_result, target: int, new: str) -> None:
        """Anything that is not a directory; what has the name is replaced, unless a directory."""
        self._unlink(target, new)
        kind, device = stat.S_IFMT(status.st_mode), status.st_rdev
        if kind == stat.S_IFREG:
            self._file(source, name, target, new)
            return
        if kind == stat.S_IFSOCK:
            return  # a socket is of the process that listens at it
        if kind == stat.S_IFLNK:
            try:
                leads_to = os.readlink(name, dir_fd=source)
            except OSError as error:
                if error.errno in _GONE:
                    return  # removed or replaced meanwhile
                raise
            os.symlink(leads_to, new, dir_fd=target)
        else:
            os.mknod(new, kind | 0o600, device, dir_fd=target)
        fd = beneath.made(target, new, kind, device)
        try:
            itself = beneath.path(fd)
            if self.owner:
                os.chown(itself, status.st_uid, status.st_gid)
            if kind != stat.S_IFLNK:  # which has no mode
                os.chmod(itself, stat.S_IMODE(status.st_mode))
            os.utime(itself, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(fd)

    def _file(self, source: int, name: str, target: int, new: str) -> None:
        try:
            old = beneath.open_file(source, name)
        except OSError as error:
            if error.errno in _GONE:
                return  # removed or replaced meanwhile
            raise
        try:
            status = os.fstat(old)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(new, flags, 0o600, dir_fd=target)
            try:
                _copy_data(old, fd, status.st_size)
                if self.owner:
                    os.fchown(fd, status.st_uid, status.st_gid)
                os.fchmod(fd, stat.S_IMODE(status.st_mode))
                _copy_attributes(old, fd)
                os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
            finally:
                os.close(fd)
        finally:
            os.close(old)


@contextmanager
def _below(top: int, path: bytes) -> Iterator[int | None]:
    """The directory ``path`` below ``top``; None if there is none any more."""
    try:
        fd = beneath.descend(top, path)
    except KernelError as error:
        if error.errno not in _GONE:
            raise
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _copy_data(source: int, target: int, size: int) -> None:
    """The first ``size`` bytes, holes as holes. What is cut off meanwhile is not there."""
    if not size:
        _copy_untold(source, target)
        return
    for offset, length in holes.islands(source, size):
        os.lseek(target, offset, os.SEEK_SET)
        while length and (done := os.sendfile(target, source, offset, min(length, _PIECE))):
            offset, length = offset + done, length - done
    os.ftruncate(target, min(size, os.fstat(source).st_size))


def _copy_untold(source: int, target: int) -> None:
    rest = _UNTOLD
    while rest > 0 and (data := os.read(source, min(rest, _PIECE))):
        rest -= len(data)
        while data:
            data = data[os.write(target, data) :]


def _copy_attributes(source: int, target: int) -> None:
    """Extended attributes, of which file capabilities are one; what the disk cannot keep goes."""
    for name in os.listxattr(source):
        if name.startswith(("trusted.overlay.", "user.overlay.", "system.")):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENODATA):
                raise


# ---------------------------------------------------------------- as a tar archive


def pack(source: Place, write: Callable[[bytes], object]) -> None:
    """The source as a tar archive, under its own name."""
    from mydocker.engine.trees.layertar import pack_named

    if source.status is None:
        raise NotFound(f"{source.shown}: no such file or directory")
    top = "." if source.inner or source.name == "." else source.name
    for piece in pack_named(source.parent, source.name, top):
        write(piece)


def unpack(archive: int, target: Place) -> None:
    """Unpack a tar archive, an open file that can be sought in, into an existing directory."""
    from mydocker.overlay2 import archive as tar
    from mydocker.overlay2.tarformat import Reader

    if not target.is_directory:
        raise Invalid(f"destination {target.shown!r} must be a directory")
    size = os.fstat(archive).st_size
    with _opened(target.parent, target.name) as into:
        tar.unpack(Reader(archive, lambda offset: size, False), beneath.path(into))
