"""Other limits for a group that has some: what holds now, what is asked, and what differs.

Nothing is written that nobody named. v2 has quota and period in one file, and knows swap alone
where the user says a sum: so a change is made of the whole of the limits, and not of what was said
last.
"""

from mydocker.cgroups import protection, settings
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.hierarchy import V1, V2
from mydocker.cgroups.limits import DEFAULT_PERIOD, UNLIMITED, Limits
from mydocker.cgroups.oom import NO_LIMIT, pairs_of
from mydocker.kernel import files
from mydocker.kernel.errors import Conflict
from mydocker.kernel.sizes import size_text


def change(group: Cgroup, before: Limits, now: Limits, top: str) -> None:
    """Write what differs between the limits ``before`` and ``now``.

    ``top`` is the path of the group that holds all of ours. Raises Failure, with nothing written,
    if more memory is in use than ``now`` allows: the kernel of v2 would kill for it.
    """
    wanted = settings.changes(before, now, group.machine)
    for setting in wanted:
        if setting.file == "memory.max" and setting.value != setting.none:
            _check_use(group, int(setting.value))
    group.create(frozenset(setting.controller for setting in wanted))
    group.apply(wanted)
    if before.memory_reservation != now.memory_reservation:
        protection.pass_down(group, top)


def _check_use(group: Cgroup, limit: int) -> None:
    """As v1 does by itself (EBUSY): what cannot be given back and has no room in swap is too much.

    The files are those of cgroup-v2.rst, "Memory Interface Files".
    """
    counted = pairs_of(group.read_or("memory.stat"))
    used = sum(counted.get(name, 0) for name in ("anon", "shmem"))
    room = group.read_or("memory.swap.max", "0")
    free = _swap_free()
    if room != "max":
        free = min(free, int(room) - int(group.read_or("memory.swap.current", "0")))
    if used - max(0, free) > limit:
        raise Conflict(
            f"-m {size_text(limit)}: {size_text(used)} are in use",
            "With less the kernel would kill a process now: end something in it first",
        )


def _swap_free() -> int:
    lines = files.read("/proc/meminfo").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("SwapFree:")), 0)


def held(group: Cgroup) -> Limits:
    """The limits that a group has, as its files tell. ``cpus`` is told as quota and period."""
    memory = _number(group, "memory.limit_in_bytes", "memory.max")
    low = _number(group, "memory.soft_limit_in_bytes", "memory.low")
    quota, period = _bandwidth(group)
    pids = _number(group, "pids.max", "pids.max")
    return Limits(
        memory=memory,
        memory_swap=_swap(group, memory) if memory is not None else None,
        memory_reservation=low or None,
        oom_kill_disable=pairs_of(group.read_or("memory.oom_control")).get("oom_kill_disable") == 1,
        cpu_shares=_shares(group),
        cpu_quota=quota,
        cpu_period=period,
        cpuset_cpus=_own_list(group, "cpuset.cpus"),
        cpuset_mems=_own_list(group, "cpuset.mems"),
        pids=pids,
        read_bps=_rates(group, "blkio.throttle.read_bps_device", "rbps"),
        write_bps=_rates(group, "blkio.throttle.write_bps_device", "wbps"),
        read_iops=_rates(group, "blkio.throttle.read_iops_device", "riops"),
        write_iops=_rates(group, "blkio.throttle.write_iops_device", "wiops"),
    )


def _version(group: Cgroup, controller: str) -> int:
    where = group.hierarchy_of(controller)
    return where.version if where else 0


def _text(group: Cgroup, v1: str, v2: str) -> str:
    version = _version(group, (v1 or v2).partition(".")[0])
    return group.read_or(v1 if version == V1 else v2) if version else ""


def _number(group: Cgroup, v1: str, v2: str) -> int | None:
    text = _text(group, v1, v2).strip()
    if text in ("", "max", "-1"):
        return None
    number = int(text)
    return None if number >= NO_LIMIT else number


def _swap(group: Cgroup, memory: int) -> int | None:
    """Memory and swap together; None where the kernel does not count swap."""
    if not _text(group, "memory.memsw.limit_in_bytes", "memory.swap.max"):
        return None
    number = _number(group, "memory.memsw.limit_in_bytes", "memory.swap.max")
    if number is None:
        return UNLIMITED
    return number if _version(group, "memory") == V1 else memory + number


def _shares(group: Cgroup) -> int | None:
    if _version(group, "cpu") == V1:
        shares = _number(group, "cpu.shares", "")
        return None if shares == 1024 else shares
    weight = _number(group, "", "cpu.weight")
    if weight in (None, 100):
        return None
    low, high = 2, 1 << 18  # the least number of shares that has this weight, or more
    while low < high:
        middle = (low + high) // 2
        if settings.weight_of_shares(middle) < weight:
            low = middle + 1
        else:
            high = middle
    return low


def _bandwidth(group: Cgroup) -> tuple[int | None, int | None]:
    if _version(group, "cpu") == V2:
        words = group.read_or("cpu.max").split() or ["max", str(DEFAULT_PERIOD)]
        quota, period = (None if words[0] == "max" else int(words[0])), int(words[1])
    else:
        quota = _number(group, "cpu.cfs_quota_us", "")
        period = _number(group, "cpu.cfs_period_us", "") or DEFAULT_PERIOD
    return quota, (None if quota is None and period == DEFAULT_PERIOD else period)


def _own_list(group: Cgroup, file: str) -> str | None:
    """A list of its own: in v1 every group has one, and the group above's says nothing."""
    text = group.read_or(file).strip()
    if _version(group, "cpuset") == V1 and text == group.above().read_or(file).strip():
        return None
    return text or None


def _rates(group: Cgroup, v1: str, key: str) -> tuple[tuple[str, int], ...]:
    found = []
    for line in _text(group, v1, "io.max").splitlines():
        device, *words = line.split()
        for word in words:
            name, _, rate = word.rpartition("=")
            if name in ("", key) and rate != "max":
                found.append((device, int(rate)))
    return tuple(found)
