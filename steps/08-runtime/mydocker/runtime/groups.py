"""The control group of a container: who is in it, stop and go on, other limits."""

import signal

from mydocker.cgroups import freezer, hierarchy
from mydocker.cgroups.cgroup import Cgroup
from mydocker.container.processes import identify
from mydocker.kernel.errors import Failure
from mydocker.runtime.records import Container


def group_of(container: Container) -> Cgroup:
    """The group on the machine as it is now."""
    return Cgroup(container.group, hierarchy.read())


def paused(container: Container) -> bool:
    """Are all its processes stopped?"""
    return bool(container.group) and freezer.frozen(group_of(container))


def signal_all(container: Container, number: int) -> None:
    """Send every process of the container a signal; none may be there any more."""
    group = group_of(container)
    for pid in group.processes():
        identify(pid).signal(number, why="to all of the container")
    if number == signal.SIGKILL and freezer.frozen(group):
        freezer.thaw(group)


def pause(container: Container) -> None:
    """Stop all its processes. Raises Failure."""
    if not container.alive():
        raise Failure("container not running")
    freezer.freeze(group_of(container))


def resume(container: Container) -> None:
    """Let them go on. Raises Failure for one that is not paused."""
    if not paused(container):
        raise Failure("container not paused")
    freezer.thaw(group_of(container))
