"""Files that are requests: to write to one, or to make a directory in one's filesystem.

A limit is set by a write to a cgroup file, a user map by a write to ``/proc/PID/uid_map``, a
switch of the kernel by a write to ``/proc/sys``. The kernel answers *per write(2)*: a buffered
``open(path, "w").write(text)`` would hand the text over when the file is closed, maybe in pieces,
and the kernel's refusal would come from a place where nobody looks for it. So: one descriptor, one
write.

The other functions make the directories, links and device nodes that a container is built from;
they are here so that they are told, counted and can be made to fail as every other request.
"""

import errno
import os

from mydocker.kernel import syscalls, trace
from mydocker.kernel.errors import KernelError


def _write(path: str, value: str) -> int:
    # No O_CREAT: a file of the kernel is there or the kernel lacks the feature. No O_TRUNC either:
    # it means nothing to most of these files, and cgroup v1's event files refuse it.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if path.startswith("/proc/") and syscalls.fstatfs(fd) != syscalls.PROC_SUPER_MAGIC:
            # Something is mounted over it: the value would go astray (CVE-2025-52881)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return os.write(fd, value.encode())
    finally:
        os.close(fd)


def write(path: str, value: str, *, why: str = "") -> None:
    """Give ``value`` to the kernel's file ``path`` in one write(2).

    Raises KernelError with the path and the value, so that the reader sees what was refused.
    """
    trace.request("write", (path, value), why, _write, path, value)


def read(path: str) -> str:
    """The whole text of a kernel file, without its last newline. Changes nothing: no event."""
    try:
        with open(path, "rb", buffering=0) as file:
            return os.fsdecode(file.readall()).rstrip("\n")
    except OSError as error:
        raise KernelError("read", (path,), error.errno or 0) from None


def mkdir(
    path: str, mode: int = 0o755, *, why: str = "", shown: str = "", parent: int | None = None
) -> None:
    """Make one directory (mkdir(2)); in a cgroup filesystem this makes a group.

    ``shown``, here and below, replaces ``path`` in events: what ``/proc/self/fd/N/name`` means.
    ``parent``: the descriptor of the directory that ``path`` is a name in.
    """
    told = (shown or path, mode)
    trace.request("mkdir", told, why, lambda: os.mkdir(path, mode, dir_fd=parent))


def rmdir(path: str, *, why: str = "") -> None:
    """Remove one empty directory (rmdir(2)); a cgroup must have no process left in it."""
    trace.request("rmdir", (path,), why, os.rmdir, path)


def unlink(path: str, *, why: str = "") -> None:
    """Remove one name (unlink(2))."""
    trace.request("unlink", (path,), why, os.unlink, path)


def _create(path: str, value: str, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        if os.fstat(fd).st_mode & 0o777 != mode:
            os.fchmod(fd, mode)  # the caller has a umask of its own
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def create(path: str, value: str, mode: int = 0o644, *, why: str = "") -> None:
    """Make a new small file that says ``value``; it is an error if the name is taken."""
    trace.request("create", (path, value, mode), why, _create, path, value, mode)


def _remove_tree(path: str) -> None:
    # Each directory is reached by its name from the one above, never by a path: it works at any
    # depth, with two descriptors, and a symbolic link cannot lead it out of the tree.
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags)
    above: list[tuple[str, list[str], os.stat_result]] = []
    try:
        full = _remove_names(fd)
        while full or above:
            if full:
                child = os.open(full[-1], flags, dir_fd=fd)
                above.append((full.pop(), full, os.fstat(fd)))
                fd = _exchange(fd, child)
                full = _remove_names(fd)
            else:
                fd = _exchange(fd, os.open("..", flags, dir_fd=fd))
                name, full, status = above.pop()
                if not os.path.samestat(os.fstat(fd), status):  # moved meanwhile, by a container
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
                os.rmdir(name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(path)


def _exchange(old: int, new: int) -> int:
    os.close(old)
    return new


def _remove_names(fd: int) -> list[str]:
    """Remove what the directory ``fd`` holds; the names of directories that are not empty."""
    full = []
    with os.scandir(fd) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    os.rmdir(entry.name, dir_fd=fd)
                else:
                    os.unlink(entry.name, dir_fd=fd)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                full.append(entry.name)
    return full


def remove_tree(path: str, *, why: str = "") -> None:
    """Remove the directory ``path`` with all that is in it, told as one request.

    A mount inside the tree is an error (EBUSY, of the first try to remove its directory), and what
    is mounted there stays.
    """
    trace.request("remove_tree", (path,), why, _remove_tree, path)


def rename(old: str, new: str, *, why: str = "") -> None:
    """Give ``old`` the name ``new``, at once (rename(2)): nobody sees both, or half of one."""
    trace.request("rename", (old, new), why, os.rename, old, new)


def symlink(target: str, linkpath: str, *, why: str = "", shown: str = "") -> None:
    """Make a symbolic link ``linkpath`` that says ``target`` (symlink(2))."""
    trace.request("symlink", (target, shown or linkpath), why, os.symlink, target, linkpath)


def mknod(path: str, mode: int, device: int = 0, *, why: str = "", shown: str = "") -> None:
    """Make a device node, FIFO or empty regular file (mknod(2)). Devices need CAP_MKNOD."""
    trace.request("mknod", (shown or path, mode, device), why, os.mknod, path, mode, device)


def chmod(path: str, mode: int, *, why: str = "") -> None:
    """Set the permission bits of ``path`` (chmod(2)): what mkdir and mknod lost to the umask."""
    trace.request("chmod", (path, mode), why, os.chmod, path, mode)


def chown(path: str, uid: int, gid: int, *, why: str = "") -> None:
    """Set owner and group of ``path`` itself, not of what a link points to (lchown(2))."""
    trace.request("chown", (path, uid, gid), why, os.lchown, path, uid, gid)
