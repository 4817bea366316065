"""The part of a container that limits it: a group made, joined, and removed."""

import os
from functools import cache
from typing import Any

from mydocker.cgroups import devices, freezer, hierarchy, making, oom, settings
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.hierarchy import V2
from mydocker.cgroups.limits import Limits
from mydocker.container.parts import Part
from mydocker.kernel.errors import Failure, Invalid
from mydocker.kernel.records import field, record

DEFAULT_PARENT = "mydocker"

# No part of a container changes where the hierarchies are; the next container looks anew.
_machine = cache(hierarchy.read)


def _can_be_born_inside() -> bool:
    """CLONE_INTO_CGROUP came with Linux 5.7."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor.split("-")[0])) >= (5, 7)


def own_parent() -> str:
    """The group that holds all groups of ours: MYDOCKER_CGROUP_PARENT, or ``mydocker``."""
    return parent_path(os.environ.get("MYDOCKER_CGROUP_PARENT") or DEFAULT_PARENT)


def parent_path(text: str) -> str:
    """A group's path as it is used here, without outer slashes. Raises Failure for nonsense."""
    path = text.strip("/")
    names = path.split("/")
    if not path or any(name in ("", ".", "..") or "\0" in name or "\n" in name for name in names):
        raise Invalid(
            f"'{text}' is not the path of a group",
            "Write names with / between them, as mydocker or classroom/group1",
        )
    return path


_making: dict[str, int] = {}  # the groups that this process is making, and its locks


@record
class CgroupPart(Part):
    """The group ``path`` with ``limits``.

    ``disposable`` are the directories above it that go when they became empty: those that we make,
    and not what somebody made for us. See :func:`cgroup_part`.
    """

    stage = "limits"

    path: str
    limits: Limits = field(default_factory=Limits)
    disposable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.limits, dict):  # rebuilt from JSON, which knows no Limits
            object.__setattr__(self, "limits", _limits_of(self.limits))

    def group(self) -> Cgroup:
        """The group on the machine as it is now."""
        return Cgroup(self.path, _machine())

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
        # Empty until the process is in it, it looks like a leftover: nobody may clean up meanwhile.
        _making[self.path] = making.begin(group.machine)
        group.create(frozenset(setting.controller for setting in plan))
        group.apply(plan)
        if self.limits.devices is not None:
            devices.restrict(group, tuple(self.limits.devices))
        self._protect(group)

    def birthplace(self) -> str:
        """The group in the unified hierarchy."""
        unified = _machine().unified
        return unified.directory(self.path) if unified and _can_be_born_inside() else ""

    def attach(self, pid: int) -> None:
        if not _can_be_born_inside():
            self.group().attach(pid, version=V2)
        self._made()

    def enter(self) -> None:
        self.group().join()

    def epitaph(self) -> str:
        return oom.report(self.group())

    def release(self) -> None:
        group = self.group()
        freezer.kill(group)
        group.remove(self.disposable)
        self._protect(group)
        self._made()

    def _protect(self, group: Cgroup) -> None:
        if self.limits.memory_reservation is not None:
            from mydocker.cgroups import protection  # few ask for it

            protection.pass_down(group, own_parent())

    def _made(self) -> None:
        if self.path in _making:
            os.close(_making.pop(self.path))


@record
class JoinGroup(Part):
    """The container's control group, in which the new process is born or which it joins."""

    stage = "limits"

    made: CgroupPart

    def birthplace(self) -> str:
        return self.made.birthplace()

    def attach(self, pid: int) -> None:
        self.made.attach(pid)

    def enter(self) -> None:
        self.made.enter()


def cgroup_part(identifier: str, limits: Limits, parent: str = "") -> CgroupPart:
    """The part for the container ``identifier``: ``<parent>/<identifier>``, ours by default.

    Looks at the machine, changes nothing. Those groups of ``parent`` that do not exist
    yet will be made. They are noted now, before: a clean-up after a crash has only these notes.
    """
    _machine.cache_clear()
    path = parent_path(parent) if parent else own_parent()
    return CgroupPart(f"{path}/{identifier}", limits, disposable_above(path, _machine()))


def limit_parts(asked: Limits, identifier: str, parent: str = "") -> list[Part]:
    """The group of the container ``identifier`` with the limits ``asked``, below ``parent``.

    A user who is not root may not make groups. Without a limit the container then goes without a
    group of its own; with one, the kernel's refusal is the answer.
    """
    if os.geteuid() != 0 and not asked.any:
        return []
    return [cgroup_part(identifier, asked, parent)]


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


def _limits_of(told: dict[str, Any]) -> Limits:
    return Limits(**told)
