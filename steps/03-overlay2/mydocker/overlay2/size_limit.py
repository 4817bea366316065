"""``--storage-opt size=``: how much a container may write, by a project quota on its layer.

Each limited layer is a project of its own. Its number is kept in the layer's directory, in the file
``project``: so it is free again when the directory is gone, whoever removed it and however.
"""

import os
from collections.abc import Iterable

from mydocker.kernel import files, quota, signals
from mydocker.kernel.errors import Failure, Invalid, KernelError
from mydocker.kernel.sizes import parse_size
from mydocker.overlay2.layer import Layer

# Docker counts its projects from 1 and people number theirs by hand; here nobody else is.
_FIRST = 0x6D64_0000
_FILE = "project"


def parse(options: Iterable[str]) -> int:
    """The bytes of ``size=10G``, the one option that there is; 0 for none. Raises Failure."""
    size = 0
    for text in options:
        key, equals, value = text.partition("=")
        if key != "size" or not equals:
            raise Invalid(f"unknown option in --storage-opt: '{text}'", "It is size=10G")
        size = parse_size(value)
    return size


def check(path: str) -> None:
    """Raise Failure if a layer on the filesystem of the existing ``path`` cannot be limited."""
    from mydocker.overlay2.mounting import filesystem_of

    if not quota.enforced(path):
        kind, mountpoint = filesystem_of(path)
        hint = {
            "xfs": "Mount it with the option prjquota",
            "ext4": "Unmounted: tune2fs -O project -Q prjquota DEVICE; mount with prjquota",
        }
        raise Failure(
            f"--storage-opt size= needs project quotas, which {kind} at {mountpoint} does not have",
            hint.get(kind, "xfs and ext4 have them, mounted with prjquota"),
        )


def limit(store: str, layer: Layer, size: int) -> None:
    """Let the files of ``layer``, in the directory ``store``, take ``size`` bytes and no more.

    Done anew at every start: what a kill interrupted is whole then. Raises Failure.
    """
    check(store)
    project = project_of(layer) or _claim(store, layer)
    for directory in (layer.diff, layer.work):  # overlayfs renames from one into the other
        quota.set_project(directory, project, why="what is made in it is counted")
    quota.set_limit(layer.path, project, size, why="all of it may take so much of the disk")


def _claim(store: str, layer: Layer) -> int:
    """A number that no other layer has."""
    fd = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        signals.lock(fd)  # two containers must not choose the same one
        taken = {project_of(Layer(name, f"{store}/{name}")) for name in os.listdir(store)}
        project = next(number for number in range(_FIRST, 1 << 32) if number not in taken)
        if os.path.exists(f"{layer.path}/{_FILE}"):  # empty: a kill came before the number
            files.unlink(f"{layer.path}/{_FILE}", why="it says nothing")
        files.create(f"{layer.path}/{_FILE}", str(project), why="its number among the projects")
    finally:
        os.close(fd)
    return project


def project_of(layer: Layer) -> int:
    """The project of ``layer``; 0 if it has none."""
    try:
        return int(files.read(f"{layer.path}/{_FILE}"))
    except (KernelError, ValueError):
        return 0


def forget(layer: Layer) -> None:
    """Take the limit away from a layer that is about to be removed: its number is free then."""
    project = project_of(layer)
    if not project:
        return
    try:
        quota.set_limit(layer.path, project, 0, why="its number may become another's")
    except KernelError:
        pass  # quotas are off by now; and who takes the number next sets a limit of its own
