"""``cp``: files between the host and a container, running or not.

A running container can exchange any of its directories for a link to ``/etc`` while we copy, and
its files are not ours: so no path of its is ever followed by the host. Its places are found by
openat2(2), which stays below its root, and from there on each directory is opened by its name in
the one above, through no link (as CVE-2018-15664 and CVE-2019-14271 teach: nothing of the
container's is executed or loaded either).
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mydocker.engine.errors import Refused
from mydocker.engine.state import State
from mydocker.engine.store import Store
from mydocker.engine.truth import changing, look
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure, KernelError
from mydocker.kernel.records import field, mutable_record, record

_PIECE = 1 << 20
_PLACE = os.O_PATH | os.O_NOFOLLOW
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_IN = syscalls.RESOLVE_IN_ROOT
_ATTEMPTS = 1000


@contextmanager
def root_of(store: Store, identifier: str, *, write: bool = False) -> Iterator[int]:
    """A descriptor of the container's root: with its volumes if it runs, else its layers.

    ``write``: of a container that does not run, to be written to; it cannot start meanwhile.
    """
    state = look(store, identifier)
    with ExitStack() as stack:
        fd = _running(state) if state.up else -1
        if fd < 0:
            from mydocker.engine.creation import need_layer, need_layer_locked
            from mydocker.engine.images import view

            if write:
                _, state = stack.enter_context(changing(store, identifier))
                if state.active:
                    raise Refused(f"Container {identifier[:12]} was started just now", "Try again")
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

    ``follow``: if it is a symbolic link, what it leads to. Raises Refused if its directory is not
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
        raise Refused(f"{shown}: not a directory")
    return Place(parent, name, status, inner, shown)


def _open(root: int, path: str, shown: str) -> int:
    """A descriptor to work in for a directory below ``root``."""
    for _ in range(_ATTEMPTS):  # EAGAIN: something on the machine was renamed meanwhile
        try:
            return syscalls.openat2(root, path, os.O_RDONLY | os.O_DIRECTORY, _IN)
        except KernelError as error:
            if error.errno == errno.EAGAIN:
                continue
            said = os.strerror(error.errno or 0).lower()
            raise Refused(f"{shown}: {said}") from None
    raise Refused(f"{shown}: changes all the time")


def _followed(root: int, path: str) -> str:
    """Where a link leads below ``root``; the path itself if it is none, or nothing is there."""
    try:
        fd = syscalls.openat2(root, path, os.O_PATH, _IN)
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
    ``owner``: keep uid and gid, else what is new belongs to root. Raises Refused.
    """
    if source.status is None:
        raise Refused(f"{source.shown}: no such file or directory")
    copying = _Copying(owner)
    if source.is_directory:
        if target.status is not None and not target.is_directory:
            raise Refused("cannot copy a directory over a file", target.shown)
        with _opened(source.parent, source.name) as below:
            if not target.is_directory:
                copying.directory(below, source.status, target.parent, target.name)
            elif source.inner or source.name == ".":
                with _opened(target.parent, target.name) as into:
                    copying.contents(below, into)
            else:
                with _opened(target.parent, target.name) as into:
                    copying.directory(below, source.status, into, source.name)
        return
    if source.inner:
        raise Refused(f"{source.shown}: not a directory")
    if target.is_directory:
        with _opened(target.parent, target.name) as into:
            copying.one(source.parent, source.name, source.status, into, source.name)
    elif target.shown.endswith("/"):
        raise Refused(f"{target.shown}: the destination directory must exist")
    else:
        copying.one(source.parent, source.name, source.status, target.parent, target.name)


@contextmanager
def _opened(parent: int, name: str) -> Iterator[int]:
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}", "Somebody changed it meanwhile") from None
    try:
        yield fd
    finally:
        os.close(fd)


@mutable_record
class _Copying:
    """One copy; files with several names are linked again."""

    owner: bool
    first: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)

    def contents(self, source: int, target: int) -> None:
        """Everything in a directory, into another one."""
        for name in sorted(os.listdir(source)):
            try:
                status = os.stat(name, dir_fd=source, follow_symlinks=False)
            except FileNotFoundError:
                continue  # removed meanwhile
            if stat.S_ISDIR(status.st_mode):
                with _opened(source, name) as below:
                    self.directory(below, status, target, name)
            else:
                self.one(source, name, status, target, name)

    def directory(self, source: int, status: os.stat_result, target: int, name: str) -> None:
        """A directory, by its descriptor, as ``name`` in ``target``; merged with what is there."""
        try:
            os.mkdir(name, 0o700, dir_fd=target)
        except FileExistsError:
            there = os.stat(name, dir_fd=target, follow_symlinks=False)
            if not stat.S_ISDIR(there.st_mode):
                raise Refused(f"cannot overwrite non-directory {name!r} with a directory") from None
        with _opened(target, name) as into:
            self.contents(source, into)
            if self.owner:
                os.fchown(into, status.st_uid, status.st_gid)
            os.fchmod(into, stat.S_IMODE(status.st_mode))
            _copy_attributes(f"/proc/self/fd/{source}", f"/proc/self/fd/{into}")
            os.utime(into, ns=(status.st_atime_ns, status.st_mtime_ns))

    def one(self, source: int, name: str, status: os.stat_result, target: int, new: str) -> None:
        """Anything that is not a directory; what has the name is replaced, unless a directory."""
        try:
            os.unlink(new, dir_fd=target)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            raise Refused(f"cannot overwrite directory {new!r} with non-directory") from None
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self._file(source, name, target, new)
            return
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), new, dir_fd=target)
        elif kind == stat.S_IFSOCK:
            return  # a socket is of the process that listens at it
        else:
            os.mknod(new, status.st_mode, status.st_rdev, dir_fd=target)
            os.chmod(new, stat.S_IMODE(status.st_mode), dir_fd=target)
        if self.owner:
            os.chown(new, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        times = (status.st_atime_ns, status.st_mtime_ns)
        os.utime(new, ns=times, dir_fd=target, follow_symlinks=False)

    def _file(self, source: int, name: str, target: int, new: str) -> None:
        # O_NONBLOCK: if it became a FIFO meanwhile, we do not wait for its other end.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        old = os.open(name, flags, dir_fd=source)
        try:
            status = os.fstat(old)
            if not stat.S_ISREG(status.st_mode):
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(new, flags, 0o600, dir_fd=target)
            try:
                _copy_data(old, fd)
                if self.owner:
                    os.fchown(fd, status.st_uid, status.st_gid)
                os.fchmod(fd, stat.S_IMODE(status.st_mode))
                _copy_attributes(old, fd)
                os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
            finally:
                os.close(fd)
        finally:
            os.close(old)


def _copy_data(source: int, target: int) -> None:
    while os.sendfile(target, source, None, _PIECE):
        continue


def _copy_attributes(source: int | str, target: int | str) -> None:
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


def pack(source: Place, write: "Writer") -> None:
    """The source as a tar archive, under its own name."""
    import tarfile

    if source.status is None:
        raise Refused(f"{source.shown}: no such file or directory")
    top = "." if source.inner or source.name == "." else source.name
    with tarfile.open(fileobj=write, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        _pack(tar, source.parent, source.name, top, {})


Writer = object  # anything with a method write


def _pack(
    tar: object, parent: int, name: str, full: str, first: dict[tuple[int, int], str]
) -> None:
    import tarfile

    assert isinstance(tar, tarfile.TarFile)
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    info = tarfile.TarInfo(full)
    info.mode, info.uid, info.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    info.mtime = status.st_mtime
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        info.type = tarfile.DIRTYPE
        with _opened(parent, name) as fd:
            tar.addfile(info)
            for below in sorted(os.listdir(fd)):
                _pack(tar, fd, below, f"{full}/{below}", first)
        return
    if kind == stat.S_IFREG:
        key = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and key in first:
            info.type, info.linkname = tarfile.LNKTYPE, first[key]
            tar.addfile(info)
            return
        first[key] = full
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(name, flags, dir_fd=parent), "rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            tar.addfile(info, file)
        return
    if kind == stat.S_IFLNK:
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=parent)
    elif kind == stat.S_IFIFO:
        info.type = tarfile.FIFOTYPE
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        info.type = tarfile.CHRTYPE if kind == stat.S_IFCHR else tarfile.BLKTYPE
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    else:
        return
    tar.addfile(info)


def unpack(archive: int, target: Place) -> None:
    """Unpack a tar archive, an open file that can be sought in, into an existing directory."""
    from mydocker.overlay2 import archive as tar
    from mydocker.overlay2.tarformat import Reader

    if not target.is_directory:
        raise Refused(f"destination {target.shown!r} must be a directory")
    size = os.fstat(archive).st_size
    with _opened(target.parent, target.name) as into:
        tar.unpack(Reader(archive, lambda offset: size, False), f"/proc/self/fd/{into}")
