"""A process, known by its pid and the time it started: pids are used again (proc_pid_stat(5))."""

import os
from typing import Any

from mydocker.kernel.records import record

_SIGCONT = 18
_PF_SIGNALED = 0x400


@record
class Identity:
    """One process and no other. ``start_time``: clock ticks since boot; pid 0 is no process."""

    pid: int
    start_time: int

    def alive(self) -> bool:
        """True while this process runs; a zombie does not."""
        return self.state() != ""

    def state(self) -> str:
        """Its letter in ps: R, S, D, T, …; "" if it does not run."""
        fields = _fields(self.pid) if self.pid > 0 else []
        return fields[0].decode() if fields and _start_time(fields) == self.start_time else ""

    def stopped(self) -> bool:
        """True while this process runs and does nothing: by SIGSTOP, or in a debugger's hands."""
        return self.state() in ("T", "t")

    def doomed(self) -> bool:
        """Was it killed by a signal, so that it will do nothing more, though a debugger may keep it
        from being gone? PF_SIGNALED in field 9 of its stat file (linux/sched.h)."""
        fields = _fields(self.pid) if self.alive() else []
        return bool(fields) and bool(int(fields[6]) & _PF_SIGNALED)

    def awake(self) -> bool:
        """True while this process runs and may do something. One that somebody stopped is told to
        go on (SIGCONT); one that a debugger holds does not hear that."""
        state = self.state()
        if state in ("T", "t"):
            self.signal(_SIGCONT, why="a process that somebody has stopped, and that we need")
        return state not in ("", "T", "t")

    def signal(self, number: int, *, why: str = "") -> bool:
        """Send it a signal, and surely to no other that got its pid (pidfd_open(2)).

        False if it is not there any more.
        """
        from mydocker.kernel import syscalls
        from mydocker.kernel.errors import Failure

        if not self.alive():
            return False
        try:
            pidfd = syscalls.pidfd_open(self.pid)
        except Failure:
            return False
        try:
            if not self.alive():  # the pidfd is of another who got the pid
                return False
            syscalls.pidfd_send_signal(pidfd, number, pid=self.pid, why=why)
        except Failure:
            return False  # it ended just now
        finally:
            os.close(pidfd)
        return True

    @classmethod
    def load(cls, told: Any) -> "Identity":
        """From what asdict() gave. Raises TypeError for anything else."""
        found = cls(**told)
        if type(found.pid) is not int or type(found.start_time) is not int:
            raise TypeError(told)
        return found


def identify(pid: int) -> Identity:
    """The process that has ``pid`` now; one that is not alive if there is none."""
    start_time = _start_time(_fields(pid))
    return Identity(pid, start_time) if start_time is not None else Identity(0, 0)


def myself() -> Identity:
    """This process."""
    return identify(os.getpid())


def _start_time(fields: list[bytes]) -> int | None:
    """The start time of a living process: field 22 of its stat file."""
    return None if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def _fields(pid: int) -> list[bytes]:
    """What ``/proc/PID/stat`` says, from field 3, the state, on; nothing if there is no process.

    A line is ``1287 (tmux: server) S 1 1287 … 0 8211 …``: the name may hold spaces and brackets,
    so the fields are counted from its last bracket.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.readall().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
