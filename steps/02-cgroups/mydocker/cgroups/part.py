"""The part of a container that limits it: a group made, joined, and removed."""

import os
from dataclasses import dataclass, field
from typing import Any

from mydocker.cgroups import devices, freezer, hierarchy, settings, statistics
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.limits import Limits, size_text
from mydocker.container.parts import Part
from mydocker.kernel.errors import Failure

DEFAULT_PARENT = "mydocker"


def own_parent() -> str:
    """The group that holds all groups of ours: MYDOCKER_CGROUP_PARENT, or ``mydocker``."""
    return parent_path(os.environ.get("MYDOCKER_CGROUP_PARENT") or DEFAULT_PARENT)


def parent_path(text: str) -> str:
    """A group's path as it is used here, without outer slashes. Raises Failure for nonsense."""
    path = text.strip("/")
    names = path.split("/")
    if not path or any(name in ("", ".", "..") or "\0" in name or "\n" in name for name in names):
        raise Failure(
            f"'{text}' is not the path of a group",
            "Write names with / between them, as mydocker or classroom/group1",
        )
    return path


@dataclass(frozen=True)
class CgroupPart(Part):
    """The group ``path`` with ``limits``.

    ``disposable`` are the directories above it that go when they became empty: those that we make,
    and not what somebody made for us. See :func:`cgroup_part`.
    """

    path: str
    limits: Limits = field(default_factory=Limits)
    disposable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.limits, dict):  # rebuilt from JSON, which knows no Limits
            object.__setattr__(self, "limits", _limits_of(self.limits))

    def group(self) -> Cgroup:
        """The group on the machine as it is now."""
        return Cgroup(self.path, hierarchy.read())

    def prepare(self) -> None:
        group = self.group()
        if not group.machine.usable:
            if self.limits.any:
                raise Failure(
                    "no cgroup hierarchy is mounted, so nothing can be limited",
                    "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
                )
            return
        plan = settings.plan(self.limits, group.machine)
        group.create(frozenset(setting.controller for setting in plan))
        group.apply(plan)
        if self.limits.devices is not None:
            devices.restrict(group, tuple(self.limits.devices))

    def attach(self, pid: int) -> None:
        self.group().attach(pid)

    def epitaph(self) -> str:
        return oom_report(self.group())

    def release(self) -> None:
        group = self.group()
        freezer.kill(group)
        group.remove(self.disposable)


def cgroup_part(identifier: str, limits: Limits, parent: str = "") -> CgroupPart:
    """The part for the container ``identifier``: ``<parent>/<identifier>``, ours by default.

    Looks at the machine, changes nothing. What of ``parent`` is not there yet will be made, and is
    noted now, before: whoever cleans up after a crash has only these notes.
    """
    path = parent_path(parent) if parent else own_parent()
    return CgroupPart(f"{path}/{identifier}", limits, disposable_above(path, hierarchy.read()))


def disposable_above(path: str, machine: hierarchy.Machine) -> tuple[str, ...]:
    """The directories of the group ``path`` and those above it that are ours to remove when empty.

    Our own parent always is: it may have been made by a container that ends before we do.
    """
    names, own = path.split("/"), own_parent()
    groups = ["/".join(names[:count]) for count in range(1, len(names) + 1)]
    return tuple(
        directory
        for group in groups
        for directory in Cgroup(group, machine).directories
        if group == own or not os.path.isdir(directory)
    )


def oom_report(group: Cgroup) -> str:
    """``killed: out of memory, limit 100 MiB`` if the OOM killer came to the group; else empty."""
    if not statistics.oom_kills(group):
        return ""
    limit = statistics.of(group).memory_limit
    if limit is None:
        return "killed: out of memory: the machine, or a group above, is full"
    return f"killed: out of memory, limit {size_text(limit)}"


def _limits_of(told: dict[str, Any]) -> Limits:
    return Limits(**told)
