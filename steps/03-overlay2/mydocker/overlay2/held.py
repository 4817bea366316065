"""Files of the host that a container is made of, opened while its process is still the host's root.

The data are closed to everybody else (``container.private``), and with ``--uid-map`` the
container's root is somebody else: a path to its own root directory, to a volume's or to the file
for ``/etc/hosts`` would end at a closed door. A descriptor has passed it (path_resolution(7)).
They are opened in the container's mount namespace: mounts of another cannot be bound.
"""

import os
from collections.abc import Iterable

from mydocker.kernel.errors import KernelError


class Held:
    """Descriptors (O_PATH) of paths; closed by :meth:`close`, before the command runs."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._descriptors: dict[str, int] = {}
        for path in paths:
            try:
                self._descriptors[path] = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError as error:
                raise KernelError("open", (path, "O_PATH"), error.errno or 0) from None

    def descriptor(self, path: str) -> int:
        """The descriptor of one of the paths."""
        return self._descriptors[path]

    def close(self) -> None:
        """Let go of all."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
