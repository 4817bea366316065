"""Where the command starts: ``-w PATH``, made if it is missing, as Docker does it."""

import errno
import os

from mydocker.container.parts import Part
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Invalid, KernelError, hints
from mydocker.kernel.records import record


@record
class WorkingDirectoryPart(Part):
    """Inside, in the container's root: make ``path`` if it is not there. Changing to it comes last,
    with the command (``Process.directory``)."""

    stage = "directory"

    path: str

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise Invalid(f"-w {self.path}: must be an absolute path in the container")

    def enter(self) -> None:
        hint = "With --read-only, the directory must be in the image, or a --tmpfs"
        with hints({errno.EROFS: hint, errno.ENOTDIR: "Something on the way is a file"}):
            _make(os.path.normpath(self.path))


def _make(path: str) -> None:
    """Make what is missing of ``path``: each directory by its name in the one above, which is held.

    Through no link of /proc to an open file (``/proc/self/fd/7``): it could lead out of the
    container. And no path twice: a directory on the way may be a volume's, and exchanged for such
    a link by another container that has it, too.
    """
    fd = _directory(path)
    if fd >= 0:
        os.close(fd)
        return
    above, _, name = path.rpartition("/")
    _make(above or "/")
    parent = _directory(above or "/")
    if parent < 0:
        raise Invalid(f"-w {path}: cannot be made", "Something on the way is no directory")
    try:
        files.mkdir(name, why="the working directory is missing in the image", parent=parent,
                    shown=path)  # fmt: skip
    except KernelError as error:
        if error.errno != errno.EEXIST:
            raise
        hint = "Name a directory, or one that can be made"
        raise Invalid(f"-w {path}: not a directory", hint) from None
    finally:
        os.close(parent)


def _directory(path: str) -> int:
    """A descriptor (O_PATH) of the directory ``path`` of the container; -1 if there is none."""
    flags, resolve = os.O_PATH | os.O_DIRECTORY, syscalls.RESOLVE_NO_MAGICLINKS
    try:
        return syscalls.openat2(syscalls.AT_FDCWD, path, flags, resolve)
    except KernelError:
        return -1
