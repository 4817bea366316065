"""One layer on disk: where its files are, and what is noted of it. See ``layers``."""

import errno

from mydocker.kernel import files
from mydocker.kernel.errors import KernelError
from mydocker.kernel.records import record


@record
class Layer:
    """One layer: its id and the directory of everything that belongs to it."""

    id: str
    path: str

    @property
    def diff(self) -> str:
        """The directory of this layer's own files."""
        return f"{self.path}/diff"

    @property
    def work(self) -> str:
        """The scratch directory of overlayfs; on the same filesystem as ``diff``."""
        return f"{self.path}/work"

    @property
    def merged(self) -> str:
        """The mount point of the whole stack."""
        return f"{self.path}/merged"

    @property
    def short(self) -> str:
        """The short name, from the file ``link``; empty if the layer is not there, or not whole."""
        return _text(f"{self.path}/link")

    @property
    def lower(self) -> list[str]:
        """The layers below as ``l/<short>``, nearest first; empty for a lowest layer."""
        lower = _text(f"{self.path}/lower")
        return lower.split(":") if lower else []


def _text(path: str) -> str:
    """What the file says; nothing if there is no such file."""
    try:
        return files.read(path)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
        return ""
