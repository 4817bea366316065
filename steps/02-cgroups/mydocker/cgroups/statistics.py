"""What a group has used, and how often it hit a limit: the same numbers from v1's and v2's files.

A number that this machine does not count is None. Sizes are bytes, times nanoseconds.
"""

from collections.abc import Iterable

from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.hierarchy import V1
from mydocker.cgroups.oom import NO_LIMIT, oom_kills, pairs_of
from mydocker.kernel import files
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record


@record
class Pressure:
    """One line of a pressure file: per cent of the last 10 s, 60 s, 300 s that somebody waited."""

    resource: str  # cpu, memory, io
    kind: str  # some: at least one task waited; full: all of them
    ten: float
    sixty: float
    three_hundred: float
    total: int  # nanoseconds, since the group was made


@record
class Statistics:
    """All of them, at one moment."""

    memory: int | None = None
    memory_limit: int | None = None  # None also: no limit
    memory_peak: int | None = None
    memory_cache: int | None = None  # file pages that nobody uses now: Docker subtracts them
    memory_failures: int | None = None  # how often the limit was reached
    oom_kills: int = 0
    cpu: int | None = None
    cpu_user: int | None = None
    cpu_system: int | None = None
    periods: int | None = None
    throttled: int | None = None  # in how many of them the quota was used up
    throttled_time: int | None = None
    pids: int | None = None
    pids_limit: int | None = None
    pids_refused: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    reads: int | None = None
    writes: int | None = None
    pressure: tuple[Pressure, ...] = ()


def of(group: Cgroup) -> Statistics:
    """The statistics of ``group`` now."""
    where = group.hierarchy_of("memory")
    memory = _memory_v1(group) if where and where.version == V1 else _memory_v2(group)
    cpu = _cpu_v1(group) if group.machine.holding("cpuacct") else _cpu_v2(group)
    blkio = _io_v1(group) if group.machine.holding("blkio") else _io_v2(group)
    numbers: dict[str, int | None] = {
        **memory,
        **cpu,
        **_throttling(group),
        **_pids(group),
        **blkio,
    }
    pressure = [
        line
        for resource in ("cpu", "memory", "io")
        for line in pressure_of(resource, group.read_or(f"{resource}.pressure"))
    ]
    return Statistics(**numbers, oom_kills=oom_kills(group), pressure=tuple(pressure))


def _memory_v1(group: Cgroup) -> dict[str, int | None]:
    stat = pairs_of(group.read_or("memory.stat"))
    return {
        "memory": _number(group, "memory.usage_in_bytes"),
        "memory_limit": _number(group, "memory.limit_in_bytes"),
        "memory_peak": _number(group, "memory.max_usage_in_bytes"),
        "memory_cache": stat.get("total_inactive_file"),
        "memory_failures": _number(group, "memory.failcnt"),
    }


def _memory_v2(group: Cgroup) -> dict[str, int | None]:
    return {
        "memory": _number(group, "memory.current"),
        "memory_limit": _number(group, "memory.max"),
        "memory_peak": _number(group, "memory.peak"),
        "memory_cache": pairs_of(group.read_or("memory.stat")).get("inactive_file"),
        "memory_failures": pairs_of(group.read_or("memory.events")).get("max"),
    }


def _cpu_v1(group: Cgroup) -> dict[str, int | None]:
    return {
        "cpu": _number(group, "cpuacct.usage"),
        "cpu_user": _number(group, "cpuacct.usage_user"),
        "cpu_system": _number(group, "cpuacct.usage_sys"),
    }


def _cpu_v2(group: Cgroup) -> dict[str, int | None]:
    # usage_usec 1240155
    # user_usec 1200000
    # system_usec 40155
    stat = pairs_of(_unified(group, "cpu.stat"))
    names = {"cpu": "usage_usec", "cpu_user": "user_usec", "cpu_system": "system_usec"}
    return {ours: _nanoseconds(stat.get(theirs)) for ours, theirs in names.items()}


def _throttling(group: Cgroup) -> dict[str, int | None]:
    # v1: nr_periods 12, nr_throttled 5, throttled_time 226140022 (nanoseconds)
    # v2: the same and throttled_usec 226140
    stat = pairs_of(group.read_or("cpu.stat"))
    time = stat.get("throttled_time", _nanoseconds(stat.get("throttled_usec")))
    counts = {"periods": stat.get("nr_periods"), "throttled": stat.get("nr_throttled")}
    return {**counts, "throttled_time": time}


def _pids(group: Cgroup) -> dict[str, int | None]:
    return {
        "pids": _number(group, "pids.current"),
        "pids_limit": _number(group, "pids.max"),
        "pids_refused": pairs_of(group.read_or("pids.events")).get("max"),
    }


def _io_v1(group: Cgroup) -> dict[str, int | None]:
    size = io_v1_of(group.read_or("blkio.throttle.io_service_bytes_recursive"))
    count = io_v1_of(group.read_or("blkio.throttle.io_serviced_recursive"))
    return {
        "read_bytes": size.get("Read", 0),
        "written_bytes": size.get("Write", 0),
        "reads": count.get("Read", 0),
        "writes": count.get("Write", 0),
    }


def io_v1_of(text: str) -> dict[str, int]:
    """The sums over all disks of a file of v1's blkio: ``Read``, ``Write``, …"""
    # 254:0 Read 4096
    # 254:0 Write 8192
    # Total 12288
    sums: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3:
            sums[fields[1]] = sums.get(fields[1], 0) + int(fields[2])
    return sums


def _io_v2(group: Cgroup) -> dict[str, int | None]:
    if group.hierarchy_of("io") is None:
        return {}
    sums = io_v2_of(group.read_or("io.stat"))
    names = {"read_bytes": "rbytes", "written_bytes": "wbytes", "reads": "rios", "writes": "wios"}
    return {ours: sums.get(theirs, 0) for ours, theirs in names.items()}


def io_v2_of(text: str) -> dict[str, int]:
    """The sums over all disks of v2's ``io.stat``: ``rbytes``, ``wbytes``, ``rios``, ``wios``, …"""
    # 254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0
    sums: dict[str, int] = {}
    for line in text.splitlines():
        for word in line.split()[1:]:
            name, _, value = word.partition("=")
            if value.isdigit():
                sums[name] = sums.get(name, 0) + int(value)
    return sums


def pressure_of(resource: str, text: str) -> Iterable[Pressure]:
    """The lines of a pressure file (Documentation/accounting/psi.rst)."""
    # some avg10=0.12 avg60=0.02 avg300=0.00 total=30412
    # full avg10=0.00 avg60=0.00 avg300=0.00 total=0
    for line in text.splitlines():
        kind, *words = line.split()
        value = dict(word.split("=", 1) for word in words)
        ten, sixty, three_hundred = (float(value[f"avg{seconds}"]) for seconds in (10, 60, 300))
        total = int(value["total"]) * 1000
        yield Pressure(resource, kind, ten, sixty, three_hundred, total)


def _number(group: Cgroup, name: str) -> int | None:
    text = group.read_or(name)
    return int(text) if text.isdigit() and int(text) < NO_LIMIT else None


def _nanoseconds(microseconds: int | None) -> int | None:
    return None if microseconds is None else microseconds * 1000


def _unified(group: Cgroup, name: str) -> str:
    unified = group.machine.unified
    if unified is None:
        return ""
    try:
        return files.read(f"{unified.directory(group.path)}/{name}")
    except Failure:
        return ""
