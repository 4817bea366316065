"""The layers and the root directory of a container as its parts."""

import errno
import os

from mydocker.container.parts import Part
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Failure, KernelError, hints
from mydocker.kernel.records import field, mutable_record, record
from mydocker.overlay2 import rootfs
from mydocker.overlay2.held import Held
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.mounting import OverlayMount, mount_overlay
from mydocker.overlay2.plan import TTY_GROUP, Plan, without_group
from mydocker.overlay2.volumes import Volume, provide_sources


@record
class LayersPart(Part):
    """A writable layer on the layers of an image, mounted on the host as ``merged``.

    ``root`` is mydocker's data directory, ``id`` the container's id and the layer's too;
    ``parents`` are the image's layers from the bottom up. ``keep``: release unmounts only, and the
    layer stays (what a container without ``--rm`` wrote is there when it starts again). ``size``:
    the bytes that it may write; 0 for any.
    """

    stage = "layers"

    root: str
    id: str
    parents: list[str] = field(default_factory=list)
    keep: bool = False
    size: int = 0

    def prepare(self) -> None:
        store = LayerStore(self.root)
        if not store.exists(self.id):
            with hints({errno.EACCES: "The data belongs to root: use sudo"}):
                store.remove_unfinished(self.id)
                store.create(self.parents, self.id)
        layer = store.layer(self.id)
        if not layer.lower:
            raise Failure("the image has no layer, and nothing to run", "Import another image")
        if self.size:
            from mydocker.overlay2.size_limit import limit

            limit(store.path, layer, self.size)
        if not os.path.isdir(layer.merged):
            files.mkdir(layer.merged, 0o755, why="where the stack of layers will appear")
        mount_overlay(
            OverlayMount(
                store.path,
                tuple(layer.lower),
                f"{self.id}/diff",
                f"{self.id}/work",
                f"{self.id}/merged",
                volatile=not self.keep,
            )
        )

    def release(self) -> None:
        store = LayerStore(self.root)
        unmount(store.layer(self.id).merged)
        if not self.keep:
            store.remove(self.id)


def unmount(path: str) -> None:
    """Take away the mount at ``path``, if there is one; from the tree only, if it is in use."""
    try:
        syscalls.umount2(path, syscalls.UMOUNT_NOFOLLOW, why="the container's root is not needed")
    except KernelError as error:
        if error.errno == errno.EBUSY:
            # Somebody stands in it, a shell of the reader's for example: it goes when they leave.
            flags = syscalls.UMOUNT_NOFOLLOW | syscalls.MNT_DETACH
            syscalls.umount2(path, flags, why="in use: out of the tree now, gone when left")
        elif error.errno not in (errno.EINVAL, errno.ENOENT):  # not mounted, not there
            raise


@record
class VolumesPart(Part):
    """On the host: what the volumes show is there."""

    stage = "root"

    volumes: tuple[Volume, ...]

    def prepare(self) -> None:
        provide_sources(self.volumes)


@mutable_record
class RootPart(Part):
    """Inside: what the plan says is mounted in a container's root, and it becomes ``/``.

    ``directory`` is the new root as the host sees it: ``merged`` of a layer, or any directory.
    """

    stage = "root"

    directory: str
    plan: Plan

    def reach(self) -> None:
        self.held = Held([os.path.dirname(self.directory), self.directory, *self.plan.sources])

    def enter(self) -> None:
        plan = self.plan if _is_mapped(TTY_GROUP) else without_group(self.plan, TTY_GROUP)
        root = rootfs.mount_all(self.directory, plan, self.held)
        self.held.close()
        try:
            self.mounted()
            rootfs.pivot(root.name)
        finally:
            os.close(root.fd)

    def mounted(self) -> None:
        """Everything is mounted, and the host's root is still ``/``; for a kind of root that has
        to do something then."""


def _is_mapped(gid: int) -> bool:
    """True if the group ``gid`` exists in this user namespace (user_namespaces(7))."""
    for line in files.read("/proc/self/gid_map").splitlines():
        inside, _, length = map(int, line.split())
        if inside <= gid < inside + length:
            return True
    return False
