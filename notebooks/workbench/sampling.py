"""Numbers that change, looked at many times a second while something happens."""

import os
import signal
import struct
import time
from collections.abc import Callable

from mydocker.cgroups import hierarchy, settings, statistics
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.limits import Limits
from mydocker.cgroups.part import own_parent
from mydocker.cgroups.statistics import Statistics

_PAIR = struct.Struct("dd")


def group(name: str, limits: Limits | None = None) -> Cgroup:
    """A control group of this notebook with these limits, made by the steps' own modules.

    One of that name that is still there, with all that is in it, goes first: a cell can be run
    again.
    """
    from mydocker.cgroups import freezer

    machine = hierarchy.read()
    made = Cgroup(f"{own_parent()}/{name}", machine)
    if made.exists:
        freezer.kill(made)
        made.remove()
    plan = settings.plan(limits or Limits(), machine)
    made.create(frozenset(setting.controller for setting in plan))
    made.apply(plan)
    return made


def group_of(pid: int) -> Cgroup:
    """The group that a process is in, by its ``/proc/PID/cgroup``."""
    path = next(path for path in hierarchy.groups_of(pid).values() if own_parent() in path)
    return Cgroup(path.strip("/"), hierarchy.read())


def look(at: Cgroup) -> Statistics:
    """All its numbers now."""
    return statistics.of(at)


class Watch:
    """A process of its own that looks at a number, 200 times a second, until ``stop``.

    Of its own, so that it also looks while this one is busy with drawing.
    """

    def __init__(self, number: Callable[[], float], seconds: float = 0.005) -> None:
        self.times: list[float] = []
        self.values: list[float] = []
        self._begin = time.monotonic()
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.close(self._reader)
                while True:  # until it is killed, or nobody reads: EPIPE
                    os.write(writer, _PAIR.pack(time.monotonic(), number()))
                    time.sleep(seconds)
            finally:
                os._exit(0)
        os.close(writer)

    @property
    def seconds(self) -> float:
        """How long it has been looking."""
        return time.monotonic() - self._begin

    def so_far(self) -> tuple[list[float], list[float]]:
        """The times in seconds since the beginning, and what was seen then."""
        try:
            while data := os.read(self._reader, 256 * _PAIR.size):
                for moment, value in _PAIR.iter_unpack(data):
                    self.times.append(moment - self._begin)
                    self.values.append(value)
        except (BlockingIOError, OSError):
            pass
        return self.times, self.values

    def stop(self) -> tuple[list[float], list[float]]:
        """Look no more; everything that was seen."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        seen = self.so_far()
        os.close(self._reader)
        return seen
