"""What is asked of a container's root directory, as data; and the parts that make it so."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mydocker.container.parts import Part
from mydocker.kernel.records import record
from mydocker.overlay2.volumes import Volume

if TYPE_CHECKING:  # who only reads what was asked needs no parts
    from mydocker.overlay2.plan import Contents


@record
class Rootfs:
    """``volumes``: what is mounted in it, outer directories first. ``read_only``: the image's files
    cannot be written. ``size``: the bytes that its own layer may hold, 0 for any. ``directory``:
    where the command starts, made if it is missing. ``user`` and ``groups``: who runs the command,
    as ``name|uid[:group|gid]``, and further groups.
    """

    volumes: tuple[Volume, ...] = ()
    read_only: bool = False
    size: int = 0
    directory: str = "/"
    user: str = ""
    groups: tuple[str, ...] = ()


def root_parts(
    asked: Rootfs,
    root: str,
    identifier: str,
    parents: Sequence[str],
    *,
    keep: bool = False,
    contents: "Contents | None" = None,
) -> list[Part]:
    """The parts that give the container ``identifier`` its root, on the layers ``parents``.

    ``root`` is mydocker's data directory; ``parents`` from the bottom up. ``keep``: its writable
    layer stays when it ends. ``contents``: what there is in it besides the image.
    """
    from mydocker.overlay2.layers import LayerStore
    from mydocker.overlay2.part import LayersPart, RootPart, VolumesPart
    from mydocker.overlay2.plan import USUAL, default_plan
    from mydocker.overlay2.user import UserPart
    from mydocker.overlay2.workdir import WorkingDirectoryPart

    merged = LayerStore(root).layer(identifier).merged
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")  # v2 alone
    plan = default_plan(asked.volumes, asked.read_only, contents or USUAL, unified=unified)
    return [
        LayersPart(root, identifier, list(parents), keep, asked.size),
        VolumesPart(asked.volumes),
        RootPart(merged, plan),
        WorkingDirectoryPart(asked.directory),
        UserPart(asked.user, asked.groups),
    ]
