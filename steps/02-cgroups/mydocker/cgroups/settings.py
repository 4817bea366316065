"""A limit, as the file and the value that v1 or v2 wants: pure data, nothing is written here.

The two worlds say the same thing in different words. ``-m 100M --cpus 0.5`` is

====================================  =======================
v1                                    v2
====================================  =======================
memory.limit_in_bytes  104857600      memory.max  104857600
memory.memsw.limit…    209715200      memory.swap.max  104857600
cpu.cfs_period_us      100000         cpu.max  50000 100000
cpu.cfs_quota_us       50000
====================================  =======================

v1's ``memsw`` is memory and swap together, v2's ``swap.max`` is swap alone: the user says Docker's
sum, and v2 gets the difference.
"""

import math
from collections.abc import Callable, Iterator

from mydocker.cgroups import controllers
from mydocker.cgroups.hierarchy import V2, Machine
from mydocker.cgroups.limits import DEFAULT_PERIOD, UNLIMITED, Limits
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record, replace
from mydocker.kernel.sizes import size_text


@record
class Setting:
    """One write: ``value`` into ``file`` of a group in the hierarchy that has ``controller``.

    ``instead`` are other files for the same, with their values, for kernels that have not
    ``file``. ``option`` is what the user said. If it is empty nobody asked for this setting, and a
    machine without the file goes without. ``none`` is the value that takes the limit away again.
    """

    controller: str
    file: str
    value: str
    why: str
    option: str = ""
    instead: tuple[tuple[str, str], ...] = ()
    none: str = "max"

    @property
    def subject(self) -> tuple[str, str, str]:
        """What it limits: two settings with one subject are two values for the same thing."""
        return self.controller, self.file, self.none


AS_ABOVE = ""  # the value that the group above has


def plan(limits: Limits, machine: Machine) -> list[Setting]:
    """All writes that give a group its ``limits`` on this machine, in the order that works.

    Raises Failure, naming the controller, if the machine lacks one that is needed.
    """
    # lab 2.3: one limit, two worlds
    settings: list[Setting] = []
    for name, (v1, v2) in _PLANS.items():
        controller = controllers.BY_NAME[name]
        wanted = list(v1(limits))
        if not wanted:
            continue
        version = controllers.version_here(machine, controller)
        if version is None:
            raise controllers.missing(machine, controller, wanted[0].option)
        settings += v2(limits) if version == V2 else wanted
    return settings
    # end lab


def changes(before: Limits, now: Limits, machine: Machine) -> list[Setting]:
    """The writes that make the limits of a group ``now`` of what they were ``before``.

    What differs is written, from the whole of its limits: v2 has quota and period in one file, and
    swap is what is left of a sum. A limit that is there no more is taken away.
    """
    was = {setting.subject: setting for setting in plan(before, machine)}
    wanted = plan(now, machine)
    changed = [one for one in wanted if _value(was.get(one.subject)) != one.value]
    gone = was.keys() - {one.subject for one in wanted}
    return [*changed, *(_without(was[subject]) for subject in was if subject in gone)]


def _value(setting: Setting | None) -> str | None:
    return setting.value if setting else None


def _without(limit: Setting) -> Setting:
    instead = tuple((file, limit.none) for file, _ in limit.instead)
    why = "no limit of its own any more"
    return replace(limit, value=limit.none, why=why, instead=instead)


def _memory_v1(limits: Limits) -> Iterator[Setting]:
    if limits.memory is not None:
        why = f"at most {size_text(limits.memory)} of memory; more, and the OOM killer comes"
        value = str(limits.memory)
        yield Setting("memory", "memory.limit_in_bytes", value, why, "-m", none="-1")
    swap, option = _swap(limits)
    if swap is not None:
        why = "memory and swap together: without this, what does not fit goes to swap"
        yield Setting("memory", "memory.memsw.limit_in_bytes", str(swap), why, option, none="-1")
    if limits.memory_reservation is not None:
        value, option = str(limits.memory_reservation), "--memory-reservation"
        why = "when memory is short, the kernel takes from this group down to here"
        yield Setting("memory", "memory.soft_limit_in_bytes", value, why, option, none="-1")
    if limits.oom_kill_disable:
        why = "when memory is full the processes wait instead of being killed"
        yield Setting("memory", "memory.oom_control", "1", why, "--oom-kill-disable", none="0")


def _memory_v2(limits: Limits) -> Iterator[Setting]:
    if limits.oom_kill_disable:
        raise Failure(
            "--oom-kill-disable: the memory controller of cgroup v2 has no such switch",
            "Leave it out, or boot a kernel that has v1's memory controller with "
            "systemd.unified_cgroup_hierarchy=0",
        )
    if limits.memory is not None:
        why = f"at most {size_text(limits.memory)} of memory; more, and the OOM killer comes"
        yield Setting("memory", "memory.max", str(limits.memory), why, "-m")
    # lab 2.4: memory and swap
    swap, option = _swap(limits)
    if swap is not None:
        alone = "max" if swap == UNLIMITED else str(swap - (limits.memory or 0))
        why = "swap alone, which v2 counts apart from memory"
        yield Setting("memory", "memory.swap.max", alone, why, option)
    # end lab
    if limits.memory_reservation is not None:
        value, option = str(limits.memory_reservation), "--memory-reservation"
        why = "when memory is short, the kernel takes elsewhere first while the group is below this"
        yield Setting("memory", "memory.low", value, why, option, none="0")


def _swap(limits: Limits) -> tuple[int | None, str]:
    """Memory and swap together, and the option that said so: by default twice the memory."""
    # lab 2.4: memory and swap
    if limits.memory_swap is not None:
        return limits.memory_swap, "--memory-swap"
    return (None if limits.memory is None else 2 * limits.memory), ""
    # end lab


def _cpu_v1(limits: Limits) -> Iterator[Setting]:
    if limits.cpu_shares is not None:
        why = "its part of the CPU when others want it too; 1024 is what every group has"
        value = str(limits.cpu_shares)
        yield Setting("cpu", "cpu.shares", value, why, "--cpu-shares", none="1024")
    quota, period, option = _bandwidth(limits)
    if period is not None:
        why = "the length of a period, in microseconds"
        value = str(period)
        yield Setting("cpu", "cpu.cfs_period_us", value, why, option, none=str(DEFAULT_PERIOD))
    if quota is not None:
        why = "microseconds of CPU time in each period; when used up, the group has to wait"
        yield Setting("cpu", "cpu.cfs_quota_us", str(quota), why, option, none="-1")


def _cpu_v2(limits: Limits) -> Iterator[Setting]:
    if limits.cpu_shares is not None:
        value = str(weight_of_shares(limits.cpu_shares))
        why = "its part of the CPU when others want it too; 100 is what every group has"
        yield Setting("cpu", "cpu.weight", value, why, "--cpu-shares", none="100")
    quota, period, option = _bandwidth(limits)
    if quota is not None or period is not None:
        value = f"{'max' if quota in (None, UNLIMITED) else quota} {period or DEFAULT_PERIOD}"
        why = "microseconds of CPU time in each period; when used up, the group has to wait"
        yield Setting("cpu", "cpu.max", value, why, option, none=f"max {DEFAULT_PERIOD}")


def _bandwidth(limits: Limits) -> tuple[int | None, int | None, str]:
    """Quota and period in microseconds, and the option that said so."""
    if limits.cpus is not None:
        return round(limits.cpus * DEFAULT_PERIOD), DEFAULT_PERIOD, "--cpus"
    option = "--cpu-quota" if limits.cpu_quota is not None else "--cpu-period"
    return limits.cpu_quota, limits.cpu_period, option


def weight_of_shares(shares: int) -> int:
    """v2's ``cpu.weight``, 1 to 10000, for v1's shares, 2 to 262144; as runc from 1.3.2 on.

    Half and twice the shares are about half and twice the weight, and what everybody has who says
    nothing, 1024 shares, is what every group has: 100.
    """
    doublings = math.log2(shares)
    return min(10_000, math.ceil(10 ** (doublings * (doublings + 125) / 612 - 7 / 34)))


def _cpuset(limits: Limits) -> Iterator[Setting]:
    if limits.cpuset_cpus is not None:
        why = "the CPUs that it may run on"
        cpus, option = limits.cpuset_cpus, "--cpuset-cpus"
        yield Setting("cpuset", "cpuset.cpus", cpus, why, option, none=AS_ABOVE)
    if limits.cpuset_mems is not None:
        why = "the memory nodes that it may take memory from"
        nodes, option = limits.cpuset_mems, "--cpuset-mems"
        yield Setting("cpuset", "cpuset.mems", nodes, why, option, none=AS_ABOVE)


def _pids(limits: Limits) -> Iterator[Setting]:
    if limits.pids is not None:
        value = "max" if limits.pids == UNLIMITED else str(limits.pids)
        why = "so many tasks at once; then fork fails: a fork bomb stays in its box"
        yield Setting("pids", "pids.max", value, why, "--pids-limit")


def _blkio_v1(limits: Limits) -> Iterator[Setting]:
    if limits.blkio_weight is not None:
        value = str(limits.blkio_weight)
        why = "its part of the disk when others want it too"
        other = (("blkio.weight", value),)  # before Linux 5.0: the CFQ scheduler
        option = "--blkio-weight"
        yield Setting("blkio", "blkio.bfq.weight", value, why, option, other, none="100")
    for what, unit, option, rates in _rates(limits):
        file = f"blkio.throttle.{what}_{unit}_device"
        for device, rate in rates:
            value, why = f"{device} {rate}", _throttle(what, unit)
            yield Setting("blkio", file, value, why, option, none=f"{device} 0")


def _blkio_v2(limits: Limits) -> Iterator[Setting]:
    if limits.blkio_weight is not None:
        weight = limits.blkio_weight
        why = "its part of the disk when others want it too"
        other = (("io.weight", str(io_weight(weight))),)
        option = "--blkio-weight"
        yield Setting("io", "io.bfq.weight", str(weight), why, option, other, none="100")
    for what, unit, option, rates in _rates(limits):
        for device, rate in rates:
            key = f"{device} {what[0]}{unit}"  # rbps, wbps, riops, wiops
            why = _throttle(what, unit)
            yield Setting("io", "io.max", f"{key}={rate}", why, option, none=f"{key}=max")


def _rates(limits: Limits) -> Iterator[tuple[str, str, str, tuple[tuple[str, int], ...]]]:
    yield "read", "bps", "--device-read-bps", limits.read_bps
    yield "write", "bps", "--device-write-bps", limits.write_bps
    yield "read", "iops", "--device-read-iops", limits.read_iops
    yield "write", "iops", "--device-write-iops", limits.write_iops


def _throttle(what: str, unit: str) -> str:
    return f"so many {'bytes' if unit == 'bps' else 'operations'} a second: {what}s have to wait"


def io_weight(blkio_weight: int) -> int:
    """v2's ``io.weight``, 1 to 10000, for Docker's 10 to 1000; as runc maps them."""
    return 1 + (blkio_weight - 10) * 9999 // 990


_Plan = Callable[[Limits], Iterator[Setting]]
_PLANS: dict[str, tuple[_Plan, _Plan]] = {
    "memory": (_memory_v1, _memory_v2),
    "cpu": (_cpu_v1, _cpu_v2),
    "cpuset": (_cpuset, _cpuset),
    "pids": (_pids, _pids),
    "blkio": (_blkio_v1, _blkio_v2),
}
