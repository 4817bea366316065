"""``linux.resources`` as the limits of step 02, and where a container's control group is."""

from collections.abc import Iterable, Iterator
from typing import Any

from mydocker.cgroups import controllers, hierarchy
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.devices import ALL
from mydocker.cgroups.hierarchy import V1, Machine
from mydocker.cgroups.limits import UNLIMITED, Limits
from mydocker.cgroups.settings import Setting
from mydocker.container.parts import Part
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.runtime.specification import DeviceRule, Resources, Throttle

_WHY = "a limit of the bundle's"
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


@record
class More(Part):
    """The settings of the group ``path`` that are not among the limits of step 02."""

    stage = "limits"

    path: str
    settings: tuple[Setting, ...]

    def prepare(self) -> None:
        group = Cgroup(self.path, hierarchy.read())
        group.create(frozenset(one.controller for one in self.settings))
        group.apply(list(self.settings))


def more(asked: Resources, path: str, machine: Machine) -> list[Part]:
    """The part for all that the limits have no word for. Raises Failure for what is not here."""
    found = tuple(settings_of(asked, machine))
    return [More(path, found)] if found else []


def settings_of(asked: Resources, machine: Machine) -> Iterator[Setting]:
    """Each as the file and the value of the world that this machine has it in.

    What cgroup v2 has nothing like (swappiness, network classes) is left out there, as runc does:
    callers say it without knowing the machine.
    """
    yield from _cpu(asked, machine)
    yield from _memory(asked, machine)
    yield from _disks(asked, machine)
    for limit in asked.hugepage_limits:
        file = "limit_in_bytes" if _version(machine, "hugetlb") == V1 else "max"
        option = f"hugepageLimits {limit.page_size}"
        value = str(limit.limit)
        yield Setting("hugetlb", f"hugetlb.{limit.page_size}.{file}", value, _WHY, option)
    for device, rdma in asked.rdma.items():
        counts = (("hca_handle", rdma.hca_handles), ("hca_object", rdma.hca_objects))
        words = [f"{name}={count}" for name, count in counts if count is not None]
        yield Setting("rdma", "rdma.max", " ".join([device, *words]), _WHY, "rdma")
    if asked.network is not None and _version(machine, "net_cls") == V1:
        if asked.network.class_id:
            value = str(asked.network.class_id)
            yield Setting("net_cls", "net_cls.classid", value, _WHY, "network.classID")
        for one in asked.network.priorities:
            value = f"{one.name} {one.priority}"
            yield Setting("net_prio", "net_prio.ifpriomap", value, _WHY, "network.priorities")
    if asked.unified and machine.world != "v2":
        raise Failure("invalid configuration: cannot use unified on cgroup v1")
    for file, value in asked.unified.items():
        controller, dot, _ = file.partition(".")
        if not dot or "/" in file:
            raise Failure(f'unified resource "{file}" must be a file name (no slashes)')
        yield Setting(controller, file, value, _WHY, f"unified {file}")


def _version(machine: Machine, name: str) -> int | None:
    return controllers.version_here(machine, controllers.named(name))


def _cpu(asked: Resources, machine: Machine) -> Iterator[Setting]:
    if asked.cpu is None:
        return
    cpu, v1 = asked.cpu, _version(machine, "cpu") == V1
    files: list[tuple[str, str, int | None]] = [
        ("cpu.burst", "cpu.cfs_burst_us" if v1 else "cpu.max.burst", cpu.burst),
        ("cpu.idle", "cpu.idle", cpu.idle),
    ]
    if v1:
        files.append(("cpu.realtimePeriod", "cpu.rt_period_us", cpu.realtime_period or None))
        files.append(("cpu.realtimeRuntime", "cpu.rt_runtime_us", cpu.realtime_runtime or None))
    for option, file, value in files:
        if value is not None:
            yield Setting("cpu", file, str(value), _WHY, option)


def _memory(asked: Resources, machine: Machine) -> Iterator[Setting]:
    swappiness = asked.memory.swappiness if asked.memory else None
    if swappiness is not None and swappiness >= 0 and _version(machine, "memory") == V1:
        if swappiness > 100:
            raise Failure(f"invalid value: {swappiness}, valid memory swappiness range is 0-100")
        option = "memory.swappiness"
        yield Setting("memory", "memory.swappiness", str(swappiness), _WHY, option)


def _disks(asked: Resources, machine: Machine) -> Iterator[Setting]:
    for one in asked.block_io.weight_device if asked.block_io else ():
        if one.weight:
            v1 = _version(machine, "blkio") == V1
            file = "blkio.bfq.weight_device" if v1 else "io.bfq.weight"
            name, value = ("blkio" if v1 else "io"), f"{one.major}:{one.minor} {one.weight}"
            yield Setting(name, file, value, _WHY, "blockIO.weightDevice")


def limits_of(asked: Resources) -> Limits:
    """Raises Failure for what no kernel takes."""
    memory, cpu, block = asked.memory, asked.cpu, asked.block_io
    values: dict[str, Any] = {"devices": allowed(asked.devices)}
    if memory is not None:
        values["memory"] = None if (memory.limit or -1) < 0 else memory.limit
        # The command line's default, twice the memory, is not a bundle's: it says what it wants.
        values["memory_swap"] = memory.swap or (UNLIMITED if values["memory"] else None)
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
