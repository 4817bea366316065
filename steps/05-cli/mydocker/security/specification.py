"""What is asked of a container's confinement, and what it is given of the host, as data."""

from mydocker.kernel.records import record
from mydocker.security import capabilities

UNCONFINED = "unconfined"


@record
class Ulimit:
    """A limit of one process (getrlimit(2)): -1 for none."""

    name: str
    soft: int
    hard: int


@record
class DeviceMapping:
    """A device of the host, or a directory of such, at ``target``; ``access`` of ``rwm``."""

    source: str
    target: str
    access: str = "rwm"


@record
class Security:
    """``cap_add`` and ``cap_drop`` as they were written. ``seccomp`` is a profile's JSON text,
    ``unconfined``, or "" for the default profile; ``shm_size`` in bytes, 0 for the default;
    ``oom_score_adj`` None: as ours.
    """

    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp: str = ""
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: dict[str, str] | None = None
    devices: tuple[DeviceMapping, ...] = ()
    shm_size: int = 0
    oom_score_adj: int | None = None

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Their full names. Raises Failure for one that there is not."""
        add = ("ALL",) if self.privileged else self.cap_add
        return tuple(sorted(capabilities.chosen(add, self.cap_drop)))

    @property
    def profile(self) -> str:
        """The profile that holds: none for a privileged container, unless one was named."""
        return UNCONFINED if self.privileged and not self.seccomp else self.seccomp
