"""Control groups: which hierarchies there are, which controllers they hold, can groups be made."""

from collections.abc import Iterator
from functools import partial

from mydocker.cgroups import controllers, hierarchy
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.controllers import CONTROLLERS, Controller
from mydocker.cgroups.hierarchy import V2, Hierarchy, Machine
from mydocker.cgroups.part import own_parent
from mydocker.container.running import new_identifier
from mydocker.engine.doctor.check import (
    Check,
    State,
    failure,
    not_applicable,
    ok,
    tried,
    warning,
)

# Those with options of run that people use; the others are rarely missed.
_USUAL = frozenset({"memory", "cpu", "cpuset", "pids", "blkio", "devices", "freezer"})
_WORLDS = {
    "v1": "v1: each controller in a hierarchy of its own",
    "v2": "v2: one hierarchy for all",
    "hybrid": "hybrid: v1's hierarchies, and the unified one beside them",
}
_MOUNT = "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
_LOCKED = "It is read-only, as in most containers: run mydocker outside, or docker run --privileged"


def groups() -> Iterator[Check]:
    """The checks of this module."""
    machine = hierarchy.read()
    if not machine.usable:
        yield failure("cgroups", "no hierarchy is mounted", _MOUNT)
        return
    yield ok("cgroups", _WORLDS[machine.world])
    writable = {}
    for each in machine.usable:
        check = tried(f"cgroup {each.label}", partial(_group_in, machine, each), fix=_LOCKED)
        writable[each] = check.state
        if check.state is State.FAILURE:
            yield check
    for controller in CONTROLLERS:
        yield _controller(machine, controller, writable)


def _group_in(machine: Machine, each: Hierarchy) -> str:
    """Make a group in one hierarchy and remove it; ours is called as a container's, for `prune`."""
    group = Cgroup(f"{own_parent()}/{new_identifier()}", Machine((each,), machine.subsystems))
    above = Cgroup(own_parent(), group.machine).directories
    try:
        needed = (
            frozenset(each.controllers) & {"memory", "cpu", "pids"} if each.version == V2 else ()
        )
        group.create(frozenset(needed))
    finally:
        group.remove(above)
    return "groups can be made"


def _controller(
    machine: Machine, controller: Controller, writable: dict[Hierarchy, State]
) -> Check:
    name = controller.name
    present, where = controllers.presence(machine, controller)
    if not present and name in _USUAL:
        return warning(name, where, controllers.how_to_enable(machine, controller))
    if not present:
        return not_applicable(name, where)
    place = machine.holding(name) or machine.holding(controller.v2 or "-")
    if place is None:  # v2 does it in every group
        return ok(name, f"{controller.does} ({where})")
    state = writable.get(place, State.OK)
    can = {State.OK: "groups can be made", State.FAILURE: "no group can be made"}
    observed = f"{where}, {place.mountpoint}: {can.get(state, 'not tried without root')}"
    return Check(name, state, observed, _LOCKED if state is State.FAILURE else "")
