"""A directory for work that may be killed half-way: ``<root>/tmp/<random>``.

Whatever is large is made here and moved to its place by rename(2), which happens or does not. The
maker holds a lock on the directory (flock(2)), and the kernel takes the lock away with the maker:
so a workspace that can be locked is a leftover, and no process is disturbed in its work.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock

from mydocker.container import private
from mydocker.container.private import DIRECTORY, TOP
from mydocker.kernel import files
from mydocker.kernel.errors import Failure, KernelError, by_errno
from mydocker.overlay2.layers import LayerStore

# The id of the layer that a workspace is about to become is noted here before the layer is made.
REGISTRATION = "layerdb"
CACHE_ID = "cache-id"


def make_directories(root: str, names: str) -> str:
    """Make ``names`` below the data's directory ``root``, and what is missing above; its path."""
    path = f"{root}/{names}"
    if os.path.isdir(path):
        return path
    found(root)
    above = names.rpartition("/")[0]
    if above:
        make_directories(root, above)
    _make(path, DIRECTORY, "the store of images")
    return path


def found(root: str) -> None:
    """Make the data's directory, closed to other users, if it is not there (see ``private``)."""
    if not os.path.isdir(root):
        os.makedirs(os.path.dirname(os.path.abspath(root)), exist_ok=True)
        _make(root, TOP, "where all data lie, closed to other users")
    private.found(root)


def _make(path: str, mode: int, why: str) -> None:
    try:
        files.mkdir(path, mode, why=why)
    except KernelError:
        if not os.path.isdir(path):  # another process may have been faster
            raise


@contextmanager
def explained(path: str) -> Iterator[None]:
    """An error of the file system in the block is one of the store at ``path``, and says so."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if isinstance(error, Failure):
            error.hint = error.hint or _WHY.get(number, "")
            raise
        raise by_errno(number)(f"{path}: {os.strerror(number)}", _WHY.get(number, "")) from None


_WHY = {
    errno.EACCES: "The data belongs to root: use sudo",
    errno.EPERM: "The data belongs to root: use sudo",
    errno.ENOSPC: "The disk is full",
    errno.EROFS: "Name another place with --root",
}


@contextmanager
def workspace(root: str) -> Iterator[str]:
    """A fresh directory for the length of the block; then it is removed, whatever happens."""
    with explained(root):
        make_directories(root, "tmp")
        while True:
            path = f"{root}/tmp/{os.urandom(8).hex()}"
            files.mkdir(path, 0o700, why="a place for half-done work")
            lock = _lock(path)
            if lock is not None:
                break  # else a clean-up was faster than our lock, and took it for a leftover
        try:
            yield path
        finally:
            try:
                _remove(root, path)
            finally:
                os.close(lock)


def _lock(path: str) -> int | None:
    """A descriptor that holds the lock of ``path``; None if that is locked or gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        flock(fd, LOCK_EX | LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def _remove(root: str, path: str) -> None:
    try:
        with open(f"{path}/{REGISTRATION}/{CACHE_ID}") as file:
            LayerStore(root).remove(file.read())
    except FileNotFoundError:
        pass
    files.remove_tree(path, why="the work is done, or given up")


def leftovers(root: str) -> list[str]:
    """The paths of workspaces whose makers are gone."""
    found = []
    for path in _all(root):
        lock = _lock(path)
        if lock is not None:
            os.close(lock)
            found.append(path)
    return found


def remove_leftovers(root: str) -> list[str]:
    """Remove what :func:`leftovers` finds; the paths."""
    removed = []
    for path in _all(root):
        lock = _lock(path)
        if lock is not None:
            try:
                _remove(root, path)
            finally:
                os.close(lock)
            removed.append(path)
    return removed


def _all(root: str) -> list[str]:
    try:
        return [f"{root}/tmp/{name}" for name in sorted(os.listdir(f"{root}/tmp"))]
    except FileNotFoundError:
        return []
