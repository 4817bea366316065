"""Layers on disk, laid out as Docker's overlay2 driver lays them out.

::

    overlay2/<id>/diff     what this layer adds, changes or takes away
    overlay2/<id>/link     the layer's short name, 26 letters and digits
    overlay2/<id>/lower    the short names of the layers below, nearest first: l/A:l/B
    overlay2/<id>/work     scratch space that overlayfs wants beside an upper directory
    overlay2/<id>/project  of a limited layer: the number that its files are counted by
    overlay2/<id>/merged   where the stack is mounted while a container runs
    overlay2/l/<short>     symbolic link to ../<id>/diff

The short names exist because all options of one mount(2) must fit into a page of memory, 4096
bytes: ids of 64 digits would fill it after some 50 layers. The lowest layer has neither ``lower``
nor ``work``: nothing lies under it. See "The overlay filesystem" in the kernel's documentation
(filesystems/overlayfs).
"""

import os
from collections.abc import Iterable, Sequence

from mydocker.container import private
from mydocker.kernel import files
from mydocker.kernel.errors import Failure
from mydocker.overlay2.layer import Layer

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # base32: 32 symbols, so a random byte maps evenly
_SHORT = 26
_ID = 64
# A layer's own directory can be passed through, but not listed: a container's root that is somebody
# else on the host finds ``merged`` in it, by a descriptor (``rootfs``). On a path nobody gets here:
# what is above is closed, for an image's set-uid programs are not for the users of this machine.
_CLOSED = 0o711


class LayerStore:
    """The layers under ``<root>/overlay2``. Making the object touches nothing."""

    def __init__(self, root: str) -> None:
        self.path = f"{root}/overlay2"

    def layer(self, layer_id: str) -> Layer:
        """The layer ``layer_id``, whether it is there or not."""
        return Layer(layer_id, f"{self.path}/{layer_id}")

    def exists(self, layer_id: str) -> bool:
        """True if there is such a layer, and it was made to the end."""
        try:
            whole = os.stat(f"{self.path}/{layer_id}/link").st_size == _SHORT
        except FileNotFoundError:
            return False
        return whole and os.path.isdir(f"{self.path}/{layer_id}/diff")

    def create(self, parents: Sequence[str], layer_id: str = "") -> Layer:
        """Make an empty layer on top of ``parents``, which are ids from the bottom up.

        Without ``layer_id`` it gets a random one. Raises Failure if a parent is missing and
        KernelError if the disk refuses. Whatever a kill leaves behind is found by ``remove``.
        """
        layer = self.layer(layer_id or os.urandom(_ID // 2).hex())
        below = [self._short(parent) for parent in parents]
        if not os.path.isdir(f"{self.path}/l"):
            self._found()
        # lab 3.1: a layer on disk
        lower = ":".join(f"l/{name}" for name in reversed(below))
        short = "".join(_ALPHABET[byte % 32] for byte in os.urandom(_SHORT))
        files.mkdir(layer.path, _CLOSED, why="a layer: a directory of what differs from below")
        files.mkdir(layer.diff, 0o755, why="the files of this layer")
        files.chmod(layer.diff, 0o755, why="it becomes /, which everyone may enter")
        if lower:
            files.mkdir(layer.work, 0o700, why="overlayfs wants a scratch directory beside it")
            files.create(f"{layer.path}/lower", lower, why="the layers that lie below")
        # The file before the link: after a kill in between, `remove` still knows the link's name.
        files.create(f"{layer.path}/link", short, why="a short name: mount options must fit a page")
        files.symlink(f"../{layer.id}/diff", f"{self.path}/l/{short}", why="the short name's link")
        # end lab
        return layer

    def remove(self, layer_id: str) -> None:
        """Remove a layer, or what is left of it; nothing there is no error.

        It must not be mounted. Layers that stand on it are not looked for: whoever removes an image
        knows them.
        """
        if not layer_id:  # its note was not written to the end: without this, all layers would go
            return
        layer = self.layer(layer_id)
        short = layer.short
        if short and os.path.lexists(f"{self.path}/l/{short}"):
            files.unlink(f"{self.path}/l/{short}", why="the layer's short name")
        if os.path.exists(f"{layer.path}/project"):
            from mydocker.overlay2.size_limit import forget

            forget(layer)
        if os.path.lexists(layer.path):
            files.remove_tree(layer.path, why="the layer goes")

    def remove_unfinished(self, layer_id: str) -> None:
        """Remove half a layer, whose maker was killed: not a file is in it yet.

        Raises Failure if there is one: then somebody has lost the layer's notes, and not the files.
        """
        layer = self.layer(layer_id)
        if os.path.isdir(layer.diff) and os.listdir(layer.diff):
            raise Failure(
                f"{layer.path}: a layer without its notes, and with files in it",
                f"Save what you need of {layer.diff}, and remove the container",
            )
        self.remove(layer_id)

    def retire(self, layer_id: str, place: str) -> None:
        """As :meth:`remove`, at once however large it is: the layer moves into the directory
        ``place`` on the same filesystem, to be removed there. Nothing there is no error."""
        if not layer_id:  # as above
            return
        layer = self.layer(layer_id)
        short = layer.short
        if short and os.path.lexists(f"{self.path}/l/{short}"):
            files.unlink(f"{self.path}/l/{short}", why="the layer's short name")
        if os.path.lexists(layer.path):
            os.rename(layer.path, f"{place}/{layer_id}")

    def ids(self) -> list[str]:
        """The ids of all layers, whole or not, in alphabetical order."""
        try:
            return sorted(name for name in os.listdir(self.path) if name != "l")
        except FileNotFoundError:
            return []

    def resolve(self, short: str) -> str:
        """The id behind a short name (``l/ABC`` or ``ABC``). Raises Failure if there is none."""
        path = f"{self.path}/l/{short.removeprefix('l/')}"
        try:
            return os.readlink(path).split("/")[1]
        except (OSError, IndexError):
            raise Failure(
                f"{path}: no such short name of a layer",
                "The store under --root is damaged: remove the image and import it again",
            ) from None

    def stack(self, layer_id: str) -> list[Layer]:
        """The layer and all that lie below it, top first. Raises Failure if it is not there."""
        top = self.layer(layer_id)
        if not self.exists(layer_id):
            raise Failure(f"{top.path}: no such layer")
        return [top, *(self.layer(self.resolve(short)) for short in top.lower)]

    def prune(self, keep: Iterable[str]) -> list[str]:
        """Remove all layers but ``keep``, and short names that lead nowhere; the removed ids."""
        kept = set(keep)
        removed = [layer_id for layer_id in self.ids() if layer_id not in kept]
        for layer_id in removed:
            self.remove(layer_id)
        self._prune_links()
        return removed

    def _prune_links(self) -> None:
        links = f"{self.path}/l"
        for name in os.listdir(links) if os.path.isdir(links) else []:
            if not os.path.exists(f"{links}/{name}"):
                files.unlink(f"{links}/{name}", why="a short name whose layer is gone")

    def _short(self, layer_id: str) -> str:
        short = self.layer(layer_id).short
        if not short:
            raise Failure(
                f"{self.path}/{layer_id}: no such layer",
                "An image needs it: remove the image and import it again",
            )
        return short

    def _found(self) -> None:
        """Make the directories of an empty store."""
        private.found(os.path.dirname(self.path))
        for path in (self.path, f"{self.path}/l"):
            if not os.path.isdir(path):
                files.mkdir(path, private.DIRECTORY, why="the store of layers")
