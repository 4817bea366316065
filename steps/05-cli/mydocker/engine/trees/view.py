"""The files of layers as a container sees them, to read: an open descriptor, and no mount left.

A container that runs has them mounted already. For all others a child process mounts them in a
mount namespace of its own, opens the root, hands the descriptor over and ends. The namespace ends
with it; the filesystem lives as long as the descriptor does. So a kill at any moment leaves nothing
mounted, and nobody else ever sees the mount.
"""

import os
import socket
from collections.abc import Sequence

from mydocker.kernel import signals, syscalls
from mydocker.kernel.errors import Failure
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.mounting import OverlayMount, mount_overlay

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def container_root(root: str, identifier: str) -> int:
    """A descriptor of the root directory of a container; what is mounted inside is not in it."""
    layers = LayerStore(root)
    layer = layers.layer(identifier)
    if os.path.ismount(layer.merged):
        return os.open(layer.merged, _DIRECTORY)
    return stack_root(root, [one.id for one in layers.stack(identifier)])


def stack_root(root: str, layer_ids: Sequence[str]) -> int:
    """A descriptor of the root directory that layers make together, the top one first."""
    layers = LayerStore(root)
    top = layers.layer(layer_ids[0])
    if len(layer_ids) == 1:
        return os.open(top.diff, _DIRECTORY)
    lower = tuple(f"l/{layers.layer(layer_id).short}" for layer_id in layer_ids)
    return _mounted(OverlayMount(layers.path, lower, "", "", f"{top.id}/diff"))


def writable_root(root: str, identifier: str) -> int:
    """As :func:`container_root`, of a container that does not run, to be written to as well.

    The caller holds the container's lock: one layer must not be written to by two mounts.
    """
    layers = LayerStore(root)
    own = layers.layer(identifier)
    lower = tuple(own.lower)
    upper, work = f"{own.id}/diff", f"{own.id}/work"
    return _mounted(OverlayMount(layers.path, lower, upper, work, upper))


def _mounted(overlay: OverlayMount) -> int:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = syscalls.fork(why="a child mounts the layers, where only it sees them")
        if pid == 0:
            _hand_over(theirs, overlay)
        theirs.close()
        try:
            signals.ready(ours.fileno())
            message, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
        finally:
            signals.reap(pid)
    if not descriptors:
        raise Failure(message.decode() or "the child that mounts the layers was killed")
    return descriptors[0]


def _hand_over(channel: socket.socket, overlay: OverlayMount) -> None:
    """In the child: mount, open, send. Never returns."""
    try:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS, why="mounts of our own")
            private = syscalls.MS_REC | syscalls.MS_PRIVATE
            syscalls.mount("none", "/", None, private, why="and nobody else shall see them")
            mount_overlay(overlay)
            fd = os.open(f"{overlay.directory}/{overlay.merged}", _DIRECTORY)
            socket.send_fds(channel, [b"+"], [fd])
        except Exception as error:
            channel.sendall(str(error).encode()[:4000])
    finally:
        os._exit(0)
