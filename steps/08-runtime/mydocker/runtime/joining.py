"""Namespaces that are there already, by their paths: the specification's ``namespaces[].path``.

They are opened on the host, as the paths are the host's. A PID namespace takes only children, so
the process is born into it; all others are entered inside, each at the moment at which the
container would have made its own.
"""

import os

from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import mutable_record
from mydocker.namespaces.kinds import KINDS

_STAGES = {"user": "users", "mount": "mounts", "cgroup": "cgroup view"}
_FLAGS = {kind.option: kind.flag for kind in KINDS}


@mutable_record
class JoinedByPath(Part):
    """One namespace of the kind ``option``, which is at ``path`` on the host."""

    option: str
    path: str
    descriptor: int = -1

    @property
    def stage(self) -> str:  # type: ignore[override]
        """As early as its own would be made."""
        return _STAGES.get(self.option, "names")

    def prepare(self) -> None:
        try:
            self.descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            said = (error.strerror or "").lower()
            raise Failure(f"namespace path {self.path}: {said}") from None

    def pid_namespace(self) -> tuple[int, str]:
        return (self.descriptor, self.path) if self.option == "pid" else (-1, "")

    def enter(self) -> None:
        if self.option != "pid":
            why = "not one of its own: the one that the bundle names"
            syscalls.setns(self.descriptor, _FLAGS[self.option], shown=self.path, why=why)
