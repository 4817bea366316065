"""How hierarchies, groups, subsystems and tasks relate: four rules, checked on the live machine.

1. A hierarchy holds one subsystem, or several, or none.
2. A subsystem is in one hierarchy at most.
3. A task is in exactly one group of each hierarchy.
4. A child begins in the groups of its parent, and may be moved afterwards.

Each check looks at what the kernel says (``/proc/cgroups``, ``/proc/PID/cgroup``, mountinfo); the
fourth makes a child for a moment.
"""

import os
from collections.abc import Iterator

from mydocker.cgroups.hierarchy import V1, Machine, groups_of
from mydocker.kernel import signals
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record


@record
class Finding:
    """One rule, and what was found: ``exceptions`` is empty if it holds."""

    rule: str
    evidence: str
    exceptions: tuple[str, ...] = ()


def check(machine: Machine, root: str = "") -> list[Finding]:
    """All rules on ``machine``, whose files are below ``root``; the fourth on this one only."""
    findings = [_hierarchies(machine), _subsystems(machine), _tasks(root)]
    return findings if root else [*findings, _children()]


def _hierarchies(machine: Machine) -> Finding:
    """v1 gives every hierarchy a number: subsystems mounted together must have the same."""
    exceptions = []
    for hierarchy in machine.hierarchies:
        if hierarchy.version != V1:
            continue
        known = [s for name in hierarchy.controllers if (s := machine.subsystem(name))]
        numbers = {subsystem.hierarchy for subsystem in known}
        if known and (len(numbers) != 1 or 0 in numbers):
            exceptions.append(f"{hierarchy.label}: numbers {sorted(numbers)}")
    counts = sorted(len(hierarchy.controllers) for hierarchy in machine.hierarchies)
    shown = ", ".join(f"{counts.count(n)} with {n or 'none'}" for n in dict.fromkeys(counts))
    return Finding("A hierarchy holds one subsystem, or several, or none", shown, tuple(exceptions))


def _subsystems(machine: Machine) -> Finding:
    places: dict[str, list[str]] = {}
    for hierarchy in machine.hierarchies:
        for controller in hierarchy.controllers:
            places.setdefault(controller, []).append(hierarchy.label)
    twice = tuple(f"{name}: {', '.join(where)}" for name, where in places.items() if len(where) > 1)
    shown = f"{len(places)} subsystems, each in one of {len(machine.hierarchies)} hierarchies"
    return Finding("A subsystem is in one hierarchy at most", shown, twice)


def _tasks(root: str) -> Finding:
    exceptions, seen = [], 0
    expected: tuple[str, ...] | None = None
    for pid, labels in _memberships(root):
        seen += 1
        expected = expected or labels
        if len(set(labels)) != len(labels) or set(labels) != set(expected):
            exceptions.append(f"process {pid}")
    shown = f"{seen} processes, each in one group of {len(expected or ())} hierarchies"
    return Finding("A task is in exactly one group of each hierarchy", shown, tuple(exceptions))


def _memberships(root: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each process and the hierarchies that its cgroup file names, in order, repeats included."""
    for pid in filter(str.isdigit, os.listdir(f"{root}/proc")):
        try:
            with open(f"{root}/proc/{pid}/cgroup") as file:
                lines = file.read().splitlines()
        except OSError:
            continue  # it ended while we looked
        if lines:
            yield pid, tuple(line.split(":", 2)[1] for line in lines)


def _children() -> Finding:
    mine = groups_of("self")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)  # returns when the parent has looked, or is gone
        os._exit(0)
    os.close(reader)
    try:
        child = groups_of(pid)
    except Failure:
        child = {}
    finally:
        os.close(writer)
        signals.reap(pid)
    different = tuple(label for label in mine if child.get(label) != mine[label])
    shown = f"our own child began in our group of all {len(mine)} hierarchies"
    return Finding("A child begins in the groups of its parent", shown, different)
