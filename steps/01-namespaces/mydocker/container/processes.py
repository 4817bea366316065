"""A process, known by its pid and the time it started: pids are used again (proc_pid_stat(5))."""

import os

from mydocker.kernel.records import record


@record
class Identity:
    """One process and no other. ``start_time``: clock ticks since boot; pid 0 is no process."""

    pid: int
    start_time: int

    def alive(self) -> bool:
        """True while this process runs; a zombie does not."""
        return self.pid > 0 and _stat(self.pid) == self.start_time


def identify(pid: int) -> Identity:
    """The process that has ``pid`` now; one that is not alive if there is none."""
    start_time = _stat(pid)
    return Identity(pid, start_time) if start_time is not None else Identity(0, 0)


def myself() -> Identity:
    """This process."""
    return identify(os.getpid())


def _stat(pid: int) -> int | None:
    """The start time of a living process: field 22 of its stat file.

    A line is ``1287 (tmux: server) S 1 1287 … 0 8211 …``: the name may hold spaces and brackets,
    so the fields are counted from its last bracket.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.readall().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
