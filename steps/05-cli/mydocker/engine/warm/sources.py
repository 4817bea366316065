"""Which source the code of this process was read from: is it still what stands on the disk?

Nothing is imported here but what a Python that has just begun has already: this is asked before all
that it is asked about is imported.
"""

import os
import sys

Version = tuple[int, int, int, int]


def version(path: str) -> Version | None:
    """What changes when a file is written or another one takes its place; None: it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


class Sources:
    """The source files of all layers on the import path, as they are before they are imported."""

    def __init__(self) -> None:
        layers = (os.path.join(entry, "mydocker") for entry in sys.path)
        found = (
            os.path.join(directory, name)
            for layer in layers
            for directory, _, names in os.walk(layer)
            for name in names
            if name.endswith(".py")
        )
        self._versions = {path: version(path) for path in found}

    def keep_imported(self) -> None:
        """From now on look at those alone that were imported."""
        files = {getattr(module, "__file__", None) for module in sys.modules.values()}
        self._versions = {path: at for path, at in self._versions.items() if path in files}

    def changed(self) -> bool:
        """True if one of them is another file now, or has other content, or is gone."""
        return any(version(path) != at for path, at in self._versions.items())
