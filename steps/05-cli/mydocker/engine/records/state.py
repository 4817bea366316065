"""What becomes of a container: ``containers/<id>/state.json``.

Whoever reads it through ``truth`` gets what is so: a file cannot notice that a process was killed.
"""

from typing import Any

from mydocker.container.processes import Identity
from mydocker.engine.words.times import NEVER, number
from mydocker.kernel.records import alike, asdict, record

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

    ``stopped``: a user stopped it, so that no restart policy may start it again. ``pauser``: who
    paused it for a moment only, as ``commit`` does; when it is dead, the moment is over.
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
    pauser: Identity = NOBODY

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
        """From what :meth:`to_json` gave. Raises TypeError, KeyError or ValueError for all else."""
        for name in ("process", "monitor", "pauser"):
            told[name] = Identity.load(told[name]) if name in told else NOBODY
        state, usual = cls(**told), cls()
        if "status" not in told or state.status not in STATUSES or not alike(state, usual):
            raise ValueError(told)
        number(state.started), number(state.finished)
        return state


def boot_id() -> str:
    """Which boot this is: pids and start times come again after the next (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
