"""A stack of layers by the name of what it belongs to: a container, an image, a layer."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mydocker.kernel.errors import Failure, Invalid, NotFound, by_errno
from mydocker.kernel.records import record
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.layer import Layer
from mydocker.overlay2.layers import LayerStore


@record
class Stack:
    """``layers`` top first; ``writable``: the first is a container's own."""

    title: str
    layers: tuple[Layer, ...]
    writable: bool

    @property
    def directories(self) -> list[str]:
        """The layers' files: what overlayfs stacks."""
        return [layer.diff for layer in self.layers]


@contextmanager
def readable() -> Iterator[None]:
    """While layers are read: a refusal becomes a Failure that says whose they are."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM) or isinstance(error, Failure):
            raise
        hint = "Layers belong to root, as the files of their containers do: use sudo"
        raise by_errno(error.errno)(f"{error.filename}: {error.strerror}", hint) from None


def container_stack(root: str, name: str) -> Stack:
    """The stack of the container whose id begins with ``name``. Raises Failure if there is none."""
    store = LayerStore(root)
    found = _beginning(name, _containers(root, store))
    if not found:
        hint = "Give the beginning of its id, as its host name shows it, while it runs"
        raise NotFound(f"No such container: {name}", hint)
    return Stack(f"container {found[:12]}", tuple(store.stack(found)), writable=True)


def find_stack(root: str, name: str) -> Stack:
    """The stack of a container, an image or a layer called ``name``, sought in this order.

    Raises Failure if there is none, or if more than one id begins so.
    """
    store, images = LayerStore(root), ImageStore(root)
    if _beginning(name, _containers(root, store)):
        return container_stack(root, name)
    image = images.find(name)
    if image is not None:
        layers = tuple(store.layer(layer_id) for layer_id in images.layers(image))
        return Stack(f"image {name} ({image.short_id})", layers, writable=False)
    found = _beginning(name, store.ids())
    if not found:
        raise NotFound(f"{name}: no container, image or layer of this name or id")
    return Stack(f"layer {found[:12]}", tuple(store.stack(found)), writable=False)


def _containers(root: str, store: LayerStore) -> list[str]:
    """The ids of the containers' own layers: those that no image has."""
    of_images = ImageStore(root).layer_ids()
    return [layer_id for layer_id in store.ids() if layer_id not in of_images]


def _beginning(name: str, ids: Sequence[str]) -> str:
    found = [layer_id for layer_id in ids if name and layer_id.startswith(name)]
    if len(found) > 1:
        raise Invalid(f"{name}: more than one id begins so", "Write more of its digits")
    return found[0] if found else ""
