"""Limits that change: what nobody named stays, what is taken away goes, and the kernel agrees."""

import os
import random
import subprocess
import sys
from typing import Any

import pytest
from sandbox.launcher import Launcher

from mydocker.cgroups import changing, controllers, protection, settings
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.hierarchy import V1, V2, Hierarchy, Machine
from mydocker.cgroups.limits import DEFAULT_PERIOD, UNLIMITED, Limits
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import replace

MIB = 1 << 20
NAMES = ("memory", "cpu", "cpuset", "pids", "blkio")
OLD = Machine(tuple(Hierarchy(V1, f"/c/{name}", "/", (name,)) for name in NAMES), ())
NEW = Machine((Hierarchy(V2, "/c", "/", ("memory", "cpu", "cpuset", "pids", "io")),), ())


def writes(before: Limits, now: Limits, machine: Machine) -> list[tuple[str, str]]:
    return [(one.file, one.value) for one in settings.changes(before, now, machine)]


@pytest.mark.parametrize(
    ("before", "told", "v1", "v2"),
    [
        (
            Limits(cpu_quota=30000, cpu_period=50000),
            {"cpu_period": 60000},
            [("cpu.cfs_period_us", "60000")],
            [("cpu.max", "30000 60000")],
        ),
        (
            Limits(cpu_quota=30000, cpu_period=50000),
            {"cpu_quota": 20000},
            [("cpu.cfs_quota_us", "20000")],
            [("cpu.max", "20000 50000")],
        ),
        (
            Limits(memory=50 * MIB, memory_swap=50 * MIB),
            {"memory": 40 * MIB},
            [("memory.limit_in_bytes", str(40 * MIB))],
            [("memory.max", str(40 * MIB)), ("memory.swap.max", str(10 * MIB))],
        ),
        (
            Limits(memory=50 * MIB, memory_swap=UNLIMITED),
            {"memory": 30 * MIB},
            [("memory.limit_in_bytes", str(30 * MIB))],
            [("memory.max", str(30 * MIB))],
        ),
        (  # the sum that came with it stays
            Limits(memory=50 * MIB),
            {"memory": 40 * MIB},
            [("memory.limit_in_bytes", str(40 * MIB))],
            [("memory.max", str(40 * MIB)), ("memory.swap.max", str(60 * MIB))],
        ),
        (
            Limits(memory=50 * MIB, pids=9),
            {"memory": None},
            [("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.max", "max"), ("memory.swap.max", "max")],
        ),
        (
            Limits(cpus=0.5, cpu_shares=2, pids=9),
            {"cpus": None, "cpu_shares": None, "pids": None},
            [
                ("cpu.shares", "1024"),
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "-1"),
                ("pids.max", "max"),
            ],
            [("cpu.weight", "100"), ("cpu.max", "max 100000"), ("pids.max", "max")],
        ),
        (
            Limits(read_bps=(("8:0", 5), ("8:16", 6)), write_iops=(("8:0", 7),)),
            {"read_bps": (("8:16", 8),)},
            [
                ("blkio.throttle.read_bps_device", "8:16 8"),
                ("blkio.throttle.read_bps_device", "8:0 0"),
            ],
            [("io.max", "8:16 rbps=8"), ("io.max", "8:0 rbps=max")],
        ),
        (Limits(memory=50 * MIB, cpus=1), {"memory": 50 * MIB}, [], []),
    ],
)
def test_what_differs_is_written(
    before: Limits, told: dict[str, Any], v1: list[tuple[str, str]], v2: list[tuple[str, str]]
) -> None:
    now = before.changed(told)
    assert writes(before, now, OLD) == v1
    assert writes(before, now, NEW) == v2


def test_more_memory_than_the_sum_that_holds() -> None:
    """Docker's words."""
    with pytest.raises(Failure, match="smaller than already set memoryswap limit"):
        Limits(memory=50 * MIB).changed({"memory": 101 * MIB})
    changed = Limits(memory=50 * MIB).changed({"memory": 101 * MIB, "memory_swap": 101 * MIB})
    assert (changed.memory, changed.memory_swap) == (101 * MIB, 101 * MIB)


# ---------------------------------------------------------------- on the real machine


@pytest.mark.root
def test_any_sequence_of_changes_leaves_what_was_said(group: Cgroup) -> None:
    """And never something that nobody said; ``MYDOCKER_TEST_SEED``."""
    seed = int(os.environ.get("MYDOCKER_TEST_SEED", "0")) or random.randrange(1 << 30)
    chance = random.Random(seed)
    version = controllers.version_here
    here = {name for name in NAMES if version(group.machine, controllers.BY_NAME[name])}
    group.create(frozenset(name for name in ("memory", "cpu", "cpuset", "pids") if name in here))
    now, told_so_far = Limits(), []
    for _ in range(40):
        told = _some_change(chance, now, here)
        try:
            wanted = now.changed(told)
        except Failure:  # Docker refuses it too, and nothing is written
            continue
        told_so_far.append(told)
        changing.change(group, now, wanted, group.path)
        now = wanted
        assert changing.held(group) == as_told(group, now), f"seed {seed}: {told_so_far}"


def _some_change(chance: random.Random, now: Limits, here: set[str]) -> dict[str, Any]:
    kinds: dict[str, dict[str, list[Any]]] = {
        "memory": {
            "memory": [None, 40 * MIB, 50 * MIB, 90 * MIB],
            "memory_swap": [UNLIMITED, 95 * MIB, 200 * MIB],
            "memory_reservation": [None, 8 * MIB, 30 * MIB],
        },
        "cpu": {
            "cpu_quota": [None, 20000, 30000, UNLIMITED],
            "cpu_period": [None, 50000, 60000],
            "cpu_shares": [None, 2, 512, 4096],
            "cpus": [None, 0.3, 1.0],
        },
        "cpuset": {"cpuset_cpus": [None, "0"], "cpuset_mems": [None, "0"]},
        "pids": {"pids": [None, 5, UNLIMITED]},
    }
    names = [pair for kind in sorted(here & kinds.keys()) for pair in kinds[kind].items()]
    chosen = chance.sample(names, chance.choice((1, 1, 2, 3)))
    return {name: chance.choice(values) for name, values in chosen}


def as_told(group: Cgroup, limits: Limits) -> Limits:
    """As the kernel's files can say it."""
    quota = None if limits.cpu_quota == UNLIMITED else limits.cpu_quota
    period = limits.cpu_period
    if limits.cpus is not None:
        quota, period = round(limits.cpus * DEFAULT_PERIOD), DEFAULT_PERIOD
    elif quota is not None:
        period = period or DEFAULT_PERIOD
    elif period == DEFAULT_PERIOD:
        period = None
    swap = None  # nothing to say without a limit of memory
    if limits.memory is not None:
        counted = group.read_or("memory.memsw.limit_in_bytes") or group.read_or("memory.swap.max")
        swap = (limits.memory_swap or 2 * limits.memory) if counted else None
    shares = limits.cpu_shares
    where = group.hierarchy_of("cpu")
    if shares is not None and where is not None and where.version == V2:
        weight = settings.weight_of_shares(shares)
        shares = next(n for n in range(2, shares + 1) if settings.weight_of_shares(n) == weight)
    cpus = None if _is_all(group, "cpuset.cpus", limits.cpuset_cpus) else limits.cpuset_cpus
    mems = None if _is_all(group, "cpuset.mems", limits.cpuset_mems) else limits.cpuset_mems
    pids = None if limits.pids == UNLIMITED else limits.pids
    return replace(
        limits, cpus=None, cpu_quota=quota, cpu_period=period, memory_swap=swap, cpu_shares=shares,
        cpuset_cpus=cpus, cpuset_mems=mems, pids=pids,
    )  # fmt: skip


def _is_all(group: Cgroup, file: str, wanted: str | None) -> bool:
    """v1 cannot tell a list of its own from the same list of the group above."""
    where = group.hierarchy_of("cpuset")
    v1 = where is not None and where.version == V1
    return wanted is None or (v1 and group.above().read_or(file).strip() == wanted)


@pytest.mark.root
def test_set_changes_what_is_named_and_nothing_else(mydocker: Launcher, group: Cgroup) -> None:
    name = group.path.rpartition("/")[2]
    limits = ("--cpu-quota", "30000", "--cpu-period", "50000", "--pids-limit", "9")
    mydocker(2, "create", name, *limits)
    mydocker(2, "set", name, "--cpu-period", "60000")
    held = changing.held(group)
    assert (held.cpu_quota, held.cpu_period, held.pids) == (30000, 60000, 9)
    mydocker(2, "set", name, "--pids-limit", "0")
    assert changing.held(group) == replace(held, pids=None)


@pytest.mark.root
def test_a_file_whose_controller_was_not_handed_on(mydocker: Launcher, group: Cgroup) -> None:
    name = group.path.rpartition("/")[2]
    mydocker(2, "create", name)
    mydocker(2, "set", name, "cpuset.cpus=0")
    assert mydocker(2, "get", name, "cpuset.cpus").stdout == "0\n"
    shown = mydocker(2, "get", name).stdout.splitlines()
    files = [line.partition(":")[0] for line in shown]
    assert sorted(files) == sorted(set(files)), "each once"


@pytest.mark.root
def test_a_protection_reaches_as_far_as_the_groups_above(group: Cgroup) -> None:
    where = group.hierarchy_of("memory")
    if where is None or where.version == V1:
        pytest.skip("v1's soft limit is each group's own")
    one = replace(group, path=f"{group.path}/a/one")
    two = replace(group, path=f"{group.path}/a/two")
    for each, size in ((one, 8 * MIB), (two, 16 * MIB)):
        each.create(frozenset({"memory"}))
        changing.change(each, Limits(), Limits(memory_reservation=size), group.path)
    for above in (one.above(), group):
        assert above.read("memory.low") == str(24 * MIB)
    changing.change(one, Limits(memory_reservation=8 * MIB), Limits(), group.path)
    assert group.read("memory.low") == str(16 * MIB)
    two.remove()
    protection.pass_down(two, group.path)
    assert group.read("memory.low") == "0"


@pytest.mark.root
def test_nobody_is_killed_for_a_limit_below_what_is_in_use(
    mydocker: Launcher, group: Cgroup
) -> None:
    """v1 refuses by itself."""
    name = group.path.rpartition("/")[2]
    mydocker(2, "create", name, "-m", "90M", "--memory-swap", "90M")
    script = "input(); held = bytearray(60 << 20); print(len(held), flush=True); input()"
    eater = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert eater.stdin and eater.stdout
    group.attach(eater.pid)
    print(file=eater.stdin, flush=True)
    assert eater.stdout.readline() == f"{60 << 20}\n"
    refused = mydocker(2, "set", name, "-m", "30M", code=125)
    assert "in use" in refused.stderr
    assert changing.held(group).memory == 90 * MIB
    mydocker(2, "set", name, "-m", "80M")
    eater.communicate("\n")
    assert eater.returncode == 0
