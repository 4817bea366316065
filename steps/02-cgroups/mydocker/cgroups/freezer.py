"""Stop all processes of a group, let them go on, or end them all.

A signal to each process in turn would race with a process that forks: the child is missed. Both
worlds have an answer: the freezer of v1 stops the whole group (``freezer.state``, see
freezer-subsystem.rst), and so does v2's ``cgroup.freeze``; v2's ``cgroup.kill`` (Linux 5.14) kills
it in one stroke.
"""

import errno
import os
import signal
import time

from mydocker.cgroups.cgroup import Cgroup
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Failure, KernelError

_WAIT = 10.0  # seconds
_STEP = 0.001


def frozen(group: Cgroup) -> bool:
    """Are all its processes stopped?"""
    if _v1(group):
        return group.read_or("freezer.state") == "FROZEN"
    # cgroup.events: populated 1
    #                frozen 0
    return "frozen 1" in group.read_or("cgroup.events").splitlines()


def freeze(group: Cgroup) -> None:
    """Stop all its processes, and return when they have stopped. Raises Failure after 10 s."""
    deadline = time.monotonic() + _WAIT
    _say(group, stop=True)
    while not frozen(group):
        if time.monotonic() > deadline:
            thaw(group)
            raise Failure(
                f"group {group.path} does not freeze",
                "A process in it may wait for a disk or another machine (state D in ps)",
            )
        time.sleep(_STEP)
        if _v1(group) and group.read_or("freezer.state") == "FREEZING":
            _say(group, stop=True)  # a child born meanwhile is frozen by the next write


def thaw(group: Cgroup) -> None:
    """Let its processes go on."""
    _say(group, stop=False)


def kill(group: Cgroup) -> list[int]:
    """Kill every process in it, and return when none is left: those that were there.

    Raises Failure if one survives two seconds: it is in a system call that cannot be interrupted.
    """
    killed = group.processes()
    deadline = time.monotonic() + 2.0
    while pids := group.processes():
        if time.monotonic() > deadline:
            raise Failure(
                f"group {group.path}: process {pids[0]} does not die",
                "It waits for a disk or another machine (state D in ps); it will die after that",
            )
        _kill_once(group, pids)
        time.sleep(_STEP)
    return killed


def _kill_once(group: Cgroup, pids: list[int]) -> None:
    unified = group.machine.unified
    if unified and os.path.exists(path := f"{unified.directory(group.path)}/cgroup.kill"):
        if group.processes_in(unified):
            files.write(path, "1", why="kill all in one stroke: nobody can fork away")
        _thaw_for_death(group)
        pids = [pid for pid in pids if pid not in group.processes_in(unified)]
        pids = [pid for pid in pids if not _dying(pid)]
    if pids:
        _kill_frozen(group, pids)


def _kill_frozen(group: Cgroup, pids: list[int]) -> None:
    """Freeze, so that nobody forks meanwhile; signal; thaw, so that they die of it."""
    if _v1(group) or _can_freeze(group):
        freeze(group)
    try:
        for pid in group.processes() or pids:
            _signal(group, pid)
    finally:
        if _v1(group) or _can_freeze(group):
            thaw(group)


def _signal(group: Cgroup, pid: int) -> None:
    try:
        pidfd = syscalls.pidfd_open(pid)
    except KernelError as error:
        if error.errno == errno.ESRCH:
            return
        raise
    try:
        # The pidfd holds on to the process, and only now can the question be asked whether it is
        # the one meant: its pid may have been given to another between the list and here.
        if pid in group.processes():
            why = "end a process that the container left behind"
            syscalls.pidfd_send_signal(pidfd, signal.SIGKILL, pid=pid, why=why)
    except KernelError as error:
        if error.errno != errno.ESRCH:
            raise
    finally:
        os.close(pidfd)


def _dying(pid: int) -> bool:
    """A zombie, or gone: it has only to be waited for."""
    # 4711 (sh) Z 1 …
    try:
        state = files.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]
    except KernelError:
        return True
    return state in ("Z", "X")


def _thaw_for_death(group: Cgroup) -> None:
    """What v1's freezer has stopped does not even die: let it go on, into its death."""
    if _v1(group) and group.read_or("freezer.state", "THAWED") != "THAWED":
        thaw(group)


def _v1(group: Cgroup) -> bool:
    return group.machine.holding("freezer") is not None


def _can_freeze(group: Cgroup) -> bool:
    unified = group.machine.unified
    return unified is not None and os.path.exists(f"{unified.directory(group.path)}/cgroup.freeze")


def _say(group: Cgroup, *, stop: bool) -> None:
    why = "stop every process of the group" if stop else "let the group's processes go on"
    unified = group.machine.unified
    if _v1(group):
        files.write(group.file("freezer.state"), "FROZEN" if stop else "THAWED", why=why)
    elif unified is not None:
        path = f"{unified.directory(group.path)}/cgroup.freeze"
        files.write(path, "1" if stop else "0", why=why)
    else:
        raise Failure(
            "this machine has neither v1's freezer nor cgroup v2",
            "mkdir -p /sys/fs/cgroup/freezer; mount -t cgroup -o freezer cgroup "
            "/sys/fs/cgroup/freezer",
        )
