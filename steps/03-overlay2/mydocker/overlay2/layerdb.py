"""Which layer directory holds which content: ``image/layerdb/sha256/<ChainID>/``, as Docker's.

::

    cache-id    the layer's directory under overlay2
    diff        its DiffID
    parent      the ChainID of the layer below; no such file for the lowest
    size        the bytes of its files

A directory is random in name, content is not: so two images share a layer when the ChainID is the
same, and a layer can be unpacked anew without any image noticing.
"""

import os

from mydocker.container.private import DIRECTORY, FILE
from mydocker.kernel import files
from mydocker.kernel.records import record
from mydocker.overlay2 import digest as digests
from mydocker.overlay2.workspace import CACHE_ID, REGISTRATION, make_directories


@record
class Registered:
    """One layer with all below it, and where it is."""

    chain_id: str
    cache_id: str
    diff_id: str
    parent: str
    size: int


class LayerDB:
    """The registrations under ``<root>/image/layerdb``. Making the object touches nothing."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.path = f"{root}/image/layerdb"

    def cache_id(self, chain_id: str) -> str:
        """The layer directory of ``chain_id``; empty if there is none."""
        found = self._text(chain_id, CACHE_ID)
        return found if digests.is_hex(found) else ""

    def size(self, chain_id: str) -> int:
        """The bytes of the files of the layer; 0 if there is none."""
        found = self._text(chain_id, "size")
        return int(found) if found.isdecimal() and len(found) < 20 else 0

    def get(self, chain_id: str) -> Registered:
        """All that is known about ``chain_id``."""
        diff_id, parent = self._text(chain_id, "diff"), self._text(chain_id, "parent")
        return Registered(chain_id, self.cache_id(chain_id), diff_id, parent, self.size(chain_id))

    def _text(self, chain_id: str, name: str) -> str:
        try:
            with open(f"{self._directory(chain_id)}/{name}", errors="replace") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def _directory(self, chain_id: str) -> str:
        return f"{self.path}/{chain_id.replace(':', '/')}"

    def chain_ids(self) -> list[str]:
        """All ChainIDs."""
        try:
            return [digests.ALGORITHM + name for name in sorted(os.listdir(f"{self.path}/sha256"))]
        except FileNotFoundError:
            return []

    def draft(self, workspace: str, layer: Registered) -> None:
        """Write the registration into the workspace: from now on a kill leaves no unknown layer."""
        directory = f"{workspace}/{REGISTRATION}"
        files.mkdir(directory, DIRECTORY, why="what will be known about the layer")
        contents = {CACHE_ID: layer.cache_id, "diff": layer.diff_id, "size": str(layer.size)}
        if layer.parent:
            contents["parent"] = layer.parent
        for name, text in contents.items():
            files.create(f"{directory}/{name}", text, FILE)

    def publish(self, workspace: str, chain_id: str) -> None:
        """Move the draft to its place: the layer exists."""
        make_directories(self.root, "image/layerdb/sha256")
        os.rename(f"{workspace}/{REGISTRATION}", self._directory(chain_id))

    def remove(self, chain_id: str) -> None:
        """Forget a layer."""
        files.remove_tree(self._directory(chain_id), why="no image has this layer any more")
