"""``linux.resources`` as the limits of step 02, and where a container's control group is."""

from collections.abc import Iterable
from typing import Any

from mydocker.cgroups.devices import ALL
from mydocker.cgroups.limits import Limits
from mydocker.kernel.errors import Failure
from mydocker.runtime.specification import DeviceRule, Resources, Throttle

_LETTERS = {"": "a", "a": "a", "b": "b", "c": "c", "u": "c", "p": "c"}


def group_path(cgroups_path: str, identifier: str) -> str:
    """The path of the control group below each mount point. Raises Failure.

    As runc: an absolute path is one from the root of the hierarchy, and so is ``/<id>`` for none.
    """
    path = cgroups_path or f"/{identifier}"
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names or not names or "\n" in path:
        raise Failure(f"cgroupsPath {cgroups_path}: not the path of a group")
    return "/".join(names)


def limits_of(asked: Resources) -> Limits:
    """Raises Failure for what no kernel takes."""
    memory, cpu, block = asked.memory, asked.cpu, asked.block_io
    values: dict[str, Any] = {"devices": allowed(asked.devices)}
    if memory is not None:
        values["memory"] = memory.limit or None
        values["memory_swap"] = memory.swap or None
        values["memory_reservation"] = memory.reservation or None
        values["oom_kill_disable"] = memory.disable_oom_killer
    if cpu is not None:
        values["cpu_shares"] = cpu.shares or None
        values["cpu_period"] = cpu.period or None
        values["cpu_quota"] = cpu.quota or None
        values["cpuset_cpus"] = cpu.cpus or None
        values["cpuset_mems"] = cpu.mems or None
    if asked.pids is not None:
        values["pids"] = asked.pids.limit or None
    if block is not None:
        values["blkio_weight"] = block.weight or None
        values["read_bps"] = _rates(block.throttle_read_bps_device)
        values["write_bps"] = _rates(block.throttle_write_bps_device)
        values["read_iops"] = _rates(block.throttle_read_iops_device)
        values["write_iops"] = _rates(block.throttle_write_iops_device)
    return Limits(**values)


def _rates(throttles: Iterable[Throttle]) -> tuple[tuple[str, int], ...]:
    return tuple((f"{one.major}:{one.minor}", one.rate) for one in throttles)


def allowed(rules: tuple[DeviceRule, ...]) -> tuple[str, ...]:
    """The devices that the rules, in their order, leave open, as step 02 writes them.

    The group begins with no device at all; ``cgroups.devices`` adds those of every container. A
    rule that refuses one device takes away what allowed just that.
    """
    left: list[str] = []
    for rule in rules:
        kind = _LETTERS.get(rule.type)
        if kind is None:
            raise Failure(f"invalid device type {rule.type!r} in linux.resources.devices")
        if kind == "a" or (rule.major is None and rule.minor is None and not rule.allow):
            left = [ALL] if rule.allow else []
            continue
        text = f"{kind} {_number(rule.major)}:{_number(rule.minor)} {rule.access or 'rwm'}"
        left = [one for one in left if one.rpartition(" ")[0] != text.rpartition(" ")[0]]
        if rule.allow:
            left.append(text)
    return tuple(left)


def _number(value: int | None) -> str:
    return "*" if value is None or value < 0 else str(value)
