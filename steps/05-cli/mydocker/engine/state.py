"""What becomes of a container: ``containers/<id>/state.json``.

Whoever reads it through ``truth`` gets what is so: a file cannot notice that a process was killed.
"""

from typing import Any

from mydocker.container.processes import Identity
from mydocker.engine.times import NEVER
from mydocker.kernel.records import asdict, record

CREATED = "created"
RUNNING = "running"
PAUSED = "paused"
RESTARTING = "restarting"
REMOVING = "removing"
EXITED = "exited"
DEAD = "dead"
STATUSES = (CREATED, RESTARTING, RUNNING, REMOVING, PAUSED, EXITED, DEAD)

NOBODY = Identity(0, 0)


@record
class State:
    """``process`` is its first process and ``monitor`` who watches it; nobody, if it does not run.

    ``stopped``: a user stopped it, so that no restart policy may start it again.
    """

    status: str = CREATED
    process: Identity = NOBODY
    monitor: Identity = NOBODY
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    started: str = NEVER
    finished: str = NEVER
    restart_count: int = 0
    stopped: bool = False
    boot: str = ""  # of which boot of the machine the two processes are

    @property
    def active(self) -> bool:
        """Somebody should be watching it."""
        return self.status in (RUNNING, PAUSED, RESTARTING)

    @property
    def up(self) -> bool:
        """It has a process."""
        return self.status in (RUNNING, PAUSED)

    def to_json(self) -> dict[str, Any]:
        """As it is written down."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "State":
        """From what :meth:`to_json` gave."""
        told["process"] = Identity(**told["process"])
        told["monitor"] = Identity(**told["monitor"])
        return cls(**told)


def boot_id() -> str:
    """Which boot this is: pids and start times come again after the next (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
