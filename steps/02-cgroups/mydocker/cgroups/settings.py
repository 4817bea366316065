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

from collections.abc import Callable, Iterator

from mydocker.cgroups import controllers
from mydocker.cgroups.hierarchy import V2, Machine
from mydocker.cgroups.limits import DEFAULT_PERIOD, UNLIMITED, Limits
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.kernel.sizes import size_text


@record
class Setting:
    """One write: ``value`` into ``file`` of a group in the hierarchy that has ``controller``.

    ``instead`` are other files for the same, with their values, for kernels that have not
    ``file``. ``option`` is what the user said. If it is empty nobody asked for this setting, and a
    machine without the file goes without.
    """

    controller: str
    file: str
    value: str
    why: str
    option: str = ""
    instead: tuple[tuple[str, str], ...] = ()


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


def _memory_v1(limits: Limits) -> Iterator[Setting]:
    if limits.memory is not None:
        why = f"at most {size_text(limits.memory)} of memory; more, and the OOM killer comes"
        yield Setting("memory", "memory.limit_in_bytes", str(limits.memory), why, "-m")
    swap, option = _swap(limits)
    if swap is not None:
        why = "memory and swap together: without this, what does not fit goes to swap"
        yield Setting("memory", "memory.memsw.limit_in_bytes", str(swap), why, option)
    if limits.memory_reservation is not None:
        value = str(limits.memory_reservation)
        why = "when memory is short, the kernel takes from this group down to here"
        yield Setting("memory", "memory.soft_limit_in_bytes", value, why, "--memory-reservation")
    if limits.oom_kill_disable:
        why = "when memory is full the processes wait instead of being killed"
        yield Setting("memory", "memory.oom_control", "1", why, "--oom-kill-disable")


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
        value = str(limits.memory_reservation)
        why = "when memory is short, the kernel takes elsewhere first while the group is below this"
        yield Setting("memory", "memory.low", value, why, "--memory-reservation")


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
        yield Setting("cpu", "cpu.shares", str(limits.cpu_shares), why, "--cpu-shares")
    quota, period, option = _bandwidth(limits)
    if period is not None:
        why = "the length of a period, in microseconds"
        yield Setting("cpu", "cpu.cfs_period_us", str(period), why, option)
    if quota is not None:
        why = "microseconds of CPU time in each period; when used up, the group has to wait"
        yield Setting("cpu", "cpu.cfs_quota_us", str(quota), why, option)


def _cpu_v2(limits: Limits) -> Iterator[Setting]:
    if limits.cpu_shares is not None:
        value = str(weight_of_shares(limits.cpu_shares))
        why = "its part of the CPU when others want it too; 100 is what every group has"
        yield Setting("cpu", "cpu.weight", value, why, "--cpu-shares")
    quota, period, option = _bandwidth(limits)
    if quota is not None or period is not None:
        value = f"{'max' if quota is None else quota} {period or DEFAULT_PERIOD}"
        why = "microseconds of CPU time in each period; when used up, the group has to wait"
        yield Setting("cpu", "cpu.max", value, why, option)


def _bandwidth(limits: Limits) -> tuple[int | None, int | None, str]:
    """Quota and period in microseconds, and the option that said so."""
    if limits.cpus is not None:
        return round(limits.cpus * DEFAULT_PERIOD), DEFAULT_PERIOD, "--cpus"
    option = "--cpu-quota" if limits.cpu_quota is not None else "--cpu-period"
    return limits.cpu_quota, limits.cpu_period, option


def weight_of_shares(shares: int) -> int:
    """v2's ``cpu.weight``, 1 to 10000, for v1's shares, 2 to 262144; as runc before 1.3.2."""
    return 1 + (shares - 2) * 9999 // 262142


def _cpuset(limits: Limits) -> Iterator[Setting]:
    if limits.cpuset_cpus is not None:
        why = "the CPUs that it may run on"
        yield Setting("cpuset", "cpuset.cpus", limits.cpuset_cpus, why, "--cpuset-cpus")
    if limits.cpuset_mems is not None:
        why = "the memory nodes that it may take memory from"
        yield Setting("cpuset", "cpuset.mems", limits.cpuset_mems, why, "--cpuset-mems")


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
        yield Setting("blkio", "blkio.bfq.weight", value, why, "--blkio-weight", other)
    for what, unit, option, rates in _rates(limits):
        file = f"blkio.throttle.{what}_{unit}_device"
        for device, rate in rates:
            yield Setting("blkio", file, f"{device} {rate}", _throttle(what, unit), option)


def _blkio_v2(limits: Limits) -> Iterator[Setting]:
    if limits.blkio_weight is not None:
        weight = limits.blkio_weight
        why = "its part of the disk when others want it too"
        other = (("io.weight", str(io_weight(weight))),)
        yield Setting("io", "io.bfq.weight", str(weight), why, "--blkio-weight", other)
    for what, unit, option, rates in _rates(limits):
        for device, rate in rates:
            value = f"{device} {what[0]}{unit}={rate}"  # rbps, wbps, riops, wiops
            yield Setting("io", "io.max", value, _throttle(what, unit), option)


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
