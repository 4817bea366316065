"""What an image has at a place is copied into a new volume that is mounted there.

Else the volume would hide it: a database image whose first files lie in its volume's directory
would start without them. Owner and mode of the directory come along, too.
"""

import os
import stat
from collections.abc import Sequence

from mydocker.engine.trees.layertar import pack_tree
from mydocker.engine.trees.view import stack_root
from mydocker.kernel import beneath
from mydocker.kernel.errors import KernelError
from mydocker.overlay2.archive import unpack
from mydocker.overlay2.importing import Landing
from mydocker.overlay2.tarformat import Reader
from mydocker.overlay2.workspace import workspace

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


def copy_up(root: str, layers: Sequence[str], path: str, directory: str) -> None:
    """Copy all below ``path`` in an image into ``directory``; nothing if it has no such directory.

    ``layers`` are the image's, from the top down. Links on the way are followed inside the image
    only. Raises Failure.
    """
    if not layers:
        return
    top = stack_root(root, layers)
    try:
        try:
            fd = beneath.find(top, path, _DIRECTORY)
        except KernelError:
            return
    finally:
        os.close(top)
    try:
        status = os.fstat(fd)
        if os.listdir(fd):
            _copy(root, fd, directory)
        into = os.open(directory, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(into, status.st_uid, status.st_gid)
            os.fchmod(into, stat.S_IMODE(status.st_mode))
        finally:
            os.close(into)
    finally:
        os.close(fd)


def _copy(root: str, fd: int, directory: str) -> None:
    """By the archive that export would make: what that keeps is kept here, and nothing is twice."""
    with workspace(root) as work:
        landing = Landing(pack_tree(fd), f"{work}/archive")
        try:
            unpack(Reader(landing.fd, landing.wait), directory)
            landing.finish()
        finally:
            landing.close()
