"""How a process is scheduled, and what kernel it sees: what else config.json says of one.

All of it is inherited, by execve(2) and by children, and all of it may need root's powers: so it is
set while the process still has them.
"""

import errno

from mydocker.cgroups.limits import numbers
from mydocker.container.parts import Part
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Failure, hints
from mydocker.kernel.records import record
from mydocker.runtime.specification import Affinity, IoPriority, Personality, Process, Scheduler

# <linux/sched.h> and <linux/ioprio.h>
_POLICIES = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}  # fmt: skip
_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01, "SCHED_FLAG_RECLAIM": 0x02, "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08, "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20, "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}  # fmt: skip
_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_DOMAINS = {"LINUX": 0x0000, "LINUX32": 0x0008}  # <linux/personality.h>
_HINTS = {
    errno.EPERM: "It needs CAP_SYS_NICE outside of every user namespace",
    errno.EINVAL: "The kernel does not take these values together",
}


def parts_of(process: Process, personality: Personality | None) -> list[Part]:
    """Raises Failure for names that do not exist."""
    parts: list[Part] = []
    if process.scheduler is not None:
        parts.append(_scheduled(process.scheduler))
    if process.io_priority is not None:
        parts.append(_prioritized(process.io_priority))
    if personality is not None:
        if personality.flags:
            raise Failure("linux.personality.flags: there are none")
        domain = _named(_DOMAINS, personality.domain, "linux.personality.domain")
        parts.append(SeenKernel(domain))
    if process.apparmor_profile:
        parts.append(AppArmor(process.apparmor_profile))
    return parts


def affinity_of(asked: Affinity | None) -> list[Part]:
    """The CPUs of an ``exec``: on its way into the container, and for its command."""
    if asked is None:
        return []
    parts: list[Part] = []
    if asked.initial:
        parts.append(BeginsOn(numbers(asked.initial)))
    if asked.final:
        parts.append(GoesOnOn(numbers(asked.final)))
    return parts


def _named(known: dict[str, int], name: str, place: str) -> int:
    if name not in known:
        raise Failure(f"{place}: {name} is none of {', '.join(known)}")
    return known[name]


def _scheduled(asked: Scheduler) -> "Scheduled":
    policy = _named(_POLICIES, asked.policy, "process.scheduler.policy")
    flags = {_named(_FLAGS, name, "process.scheduler.flags") for name in asked.flags}
    times = (asked.runtime, asked.deadline, asked.period)
    if policy != _POLICIES["SCHED_DEADLINE"] and any(times):
        raise Failure("scheduler runtime, deadline and period are for SCHED_DEADLINE only")
    return Scheduled(policy, sum(flags), asked.nice, asked.priority, times)


def _prioritized(asked: IoPriority) -> "Prioritized":
    kind = _named(_CLASSES, asked.class_, "process.ioPriority.class")
    if not 0 <= asked.priority <= 7:
        raise Failure(f"process.ioPriority.priority: {asked.priority} is not from 0 to 7")
    return Prioritized(kind, asked.priority)


@record
class Scheduled(Part):
    """Inside, before the change of user."""

    stage = "keys"

    policy: int
    flags: int
    nice: int
    priority: int
    times: tuple[int, int, int]

    def enter(self) -> None:
        asked = (self.policy, self.flags, self.nice, self.priority, self.times)
        with hints(_HINTS):
            syscalls.sched_setattr(*asked, why="how it is scheduled")


@record
class Prioritized(Part):
    """Inside, before the change of user."""

    stage = "keys"

    kind: int
    level: int

    def enter(self) -> None:
        with hints(_HINTS):
            syscalls.ioprio_set(self.kind, self.level, why="its turn when disks are busy")


@record
class SeenKernel(Part):
    """Inside: what uname(2) says of the machine, and so what programs are built for."""

    stage = "keys"

    domain: int

    def enter(self) -> None:
        syscalls.personality(self.domain, why="the kernel that it seems to run on")


@record
class AppArmor(Part):
    """Inside: the profile that the next execve(2) puts on (apparmor(7))."""

    stage = "keys"

    profile: str

    def enter(self) -> None:
        why = "the profile that its command gets"
        files.write("/proc/thread-self/attr/apparmor/exec", f"exec {self.profile}", why=why)


@record
class BeginsOn(Part):
    """Before it joins anything: the container's control group may have other CPUs."""

    stage = "guard"

    cpus: frozenset[int]

    def enter(self) -> None:
        syscalls.sched_setaffinity(self.cpus, why="the CPUs on which it begins")


@record
class GoesOnOn(Part):
    """Inside: the CPUs of the command."""

    stage = "keys"

    cpus: frozenset[int]

    def enter(self) -> None:
        with hints(_HINTS):
            syscalls.sched_setaffinity(self.cpus, why="the CPUs on which it goes on")
