"""Where the command starts: ``-w PATH``, made if it is missing, as Docker does it."""

import errno
import os

from mydocker.container.parts import Part
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Failure, KernelError, hints
from mydocker.kernel.records import record


@record
class WorkingDirectoryPart(Part):
    """Inside, in the container's root: make ``path`` if it is not there. Changing to it comes last,
    with the command (``Process.directory``)."""

    path: str

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise Failure(f"-w {self.path}: must be an absolute path in the container")

    def enter(self) -> None:
        hint = "With --read-only, the directory must be in the image, or a --tmpfs"
        with hints({errno.EROFS: hint, errno.ENOTDIR: "Something on the way is a file"}):
            _make(os.path.normpath(self.path))


def _make(path: str) -> None:
    if _is_directory(path):
        return
    if os.path.lexists(path):
        raise Failure(f"-w {path}: not a directory", "Name a directory, or one that can be made")
    _make(os.path.dirname(path))
    files.mkdir(path, why="the working directory is missing in the image")


def _is_directory(path: str) -> bool:
    """True for a directory that is reached by names and links. A link of /proc to an open file
    (``/proc/self/fd/7``) could lead to one outside of the container, where we would make the rest
    of the path."""
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        fd = syscalls.openat2(syscalls.AT_FDCWD, path, flags, syscalls.RESOLVE_NO_MAGICLINKS)
    except KernelError:
        return False
    os.close(fd)
    return True
