"""Paths that somebody else can change while we walk them: a container's, a volume's, an archive's.

Such a tree is full of names that are not ours. What was a directory when we looked is a link to the
host's ``/etc`` when we act (renameat2(2) exchanges the two at once), and we are root. So the rule,
for all of mydocker:

1. A path is looked up **once**, by openat2(2) below the descriptor of its root: links and ``..``
   end there, links of ``/proc`` to open files are none. From then on the descriptor counts, and
   no path: ``/proc/self/fd/N`` for calls that want one.
2. In a directory that is held so, a thing is reached by **one name**, by a call that follows no
   link (O_NOFOLLOW, AT_SYMLINK_NOFOLLOW, O_EXCL).
3. What was just **made** is held before anything else is done to it (owner, mode, times,
   attributes), and looked at: if it is not what was made, somebody exchanged it, and we stop.
   There is no chmod(2) that follows no link before Linux 6.6; by the descriptor there is.
4. What is to be **read** is held first and opened only if it is a regular file: to open a device
   may do something, and a FIFO waits.

Each of these held true in some container engine only until somebody raced it: CVE-2018-15664 (cp),
CVE-2021-30465 and CVE-2025-31133 (mounts), CVE-2025-52881 (files of ``/proc``).
"""

import errno
import os
import stat

from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure, KernelError

# Where a path has ".." in it and anything on the machine is renamed or mounted meanwhile, openat2
# cannot tell whether it stayed inside, and says EAGAIN: look again.
_ATTEMPTS = 1000
_IN_ROOT = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
_LONGEST = 3500  # bytes of a path in one call, which takes 4095: longer ones are walked in pieces
_HELD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Exchanged(Failure):
    """What was just made, or looked at, is something else now."""

    def __init__(self, name: str | bytes) -> None:
        message = f"{os.fsdecode(name)!r} was exchanged for something else meanwhile"
        super().__init__(message, "A program in the container did that: pause it, and try again")


def path(fd: int, name: str | bytes = "") -> str:
    """The path that means the descriptor, or one ``name`` in it, for calls that take no other.

    Without a name, a call that follows links goes to the very thing, even if that is a link.
    """
    return f"/proc/self/fd/{fd}/{os.fsdecode(name)}" if name else f"/proc/self/fd/{fd}"


def find(root: int, name: str | bytes, flags: int, *, links: bool = True) -> int:
    """A descriptor for the path ``name`` below the directory ``root``, never outside of it.

    ``links``: symbolic links are followed, as if ``root`` were ``/``. Raises KernelError.
    """
    resolve = _IN_ROOT if links else _IN_ROOT | syscalls.RESOLVE_NO_SYMLINKS
    for _ in range(_ATTEMPTS):
        try:
            return syscalls.openat2(root, name or ".", flags, resolve)
        except KernelError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise KernelError("openat2", (root, os.fsdecode(name)), errno.EAGAIN)


def descend(root: int, name: bytes, flags: int = _DIRECTORY) -> int:
    """A descriptor for the directory ``name`` below ``root``, through no link at all.

    However long the path is, the tree as deep as it wants. Raises KernelError.
    """
    fd, rest = root, name
    while True:
        piece, rest = _piece(rest)
        try:
            below = find(fd, piece, flags if not rest else os.O_PATH | os.O_DIRECTORY, links=False)
        finally:
            if fd != root:
                os.close(fd)
        if not rest:
            return below
        fd = below


def _piece(name: bytes) -> tuple[bytes, bytes]:
    """The begin of a path that fits into one call, and the rest."""
    if len(name) <= _LONGEST:
        return name, b""
    cut = name.rindex(b"/", 0, _LONGEST)
    return name[:cut], name[cut + 1 :]


def hold(parent: int, name: str | bytes) -> int:
    """A descriptor (O_PATH) for what is called ``name``, one name, in the directory ``parent``.

    It may be a link itself, or a device: nothing is opened by it. Raises OSError.
    """
    return os.open(name, _HELD, dir_fd=parent)


def made(parent: int, name: str | bytes, kind: int, device: int = 0) -> int:
    """As :func:`hold`, for what we just made there: of this ``kind`` (``stat.S_IF*``), and, if it
    is a device, this number. Raises Exchanged if it is something else by now."""
    try:
        fd = hold(parent, name)
    except FileNotFoundError:
        raise Exchanged(name) from None
    status = os.fstat(fd)
    same_device = kind not in (stat.S_IFCHR, stat.S_IFBLK) or status.st_rdev == device
    if stat.S_IFMT(status.st_mode) == kind and same_device:
        return fd
    os.close(fd)
    raise Exchanged(name)


def open_file(parent: int, name: str | bytes) -> int:
    """Open the regular file ``name``, one name, in ``parent`` for reading.

    Raises OSError: of what is something else, ESTALE; nothing of it was opened.
    """
    held = hold(parent, name)
    try:
        if not stat.S_ISREG(os.fstat(held).st_mode):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), os.fsdecode(name))
        return os.open(path(held), os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(held)


def open_directory(parent: int, name: str | bytes) -> int:
    """Open the directory ``name``, one name, in ``parent``, to list it. Raises OSError."""
    return os.open(name, _DIRECTORY, dir_fd=parent)


def straight(name: str) -> int:
    """A descriptor (O_PATH) for an absolute path in which nothing is a link, but perhaps the last.

    Raises OSError: of a link on the way, ELOOP.
    """
    above, _, last = os.fsencode(name).rstrip(b"/").rpartition(b"/")
    top = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        parent = descend(top, above.lstrip(b"/"), os.O_PATH | os.O_DIRECTORY)
    finally:
        os.close(top)
    try:
        return hold(parent, last or b".")
    finally:
        os.close(parent)


def names(name: str) -> list[str]:
    """What is in the directory of an absolute path in which nothing is a link. Raises OSError."""
    held = straight(name)
    try:
        fd = open_directory(held, ".")
    finally:
        os.close(held)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def look(root: int, name: bytes) -> os.stat_result | None:
    """What is at the path ``name`` below ``root``, by way of directories alone; None if nothing."""
    above, _, last = name.rpartition(b"/")
    try:
        parent = descend(root, above)
    except KernelError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        return os.stat(last or b".", dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    finally:
        os.close(parent)
