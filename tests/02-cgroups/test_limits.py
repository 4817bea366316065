"""Limits: Docker's forms, and what they become in v1 and v2."""

from pathlib import Path

import pytest

from mydocker.cgroups import limits as forms
from mydocker.cgroups import settings
from mydocker.cgroups.hierarchy import V1, V2, Hierarchy, Machine
from mydocker.cgroups.limits import UNLIMITED, Limits
from mydocker.kernel.errors import Failure
from mydocker.kernel.sizes import parse_size, size_text

MIB = 1 << 20
V1S = ("memory", "cpu", "cpuset", "pids", "blkio")
OLD = Machine(tuple(Hierarchy(V1, f"/c/{name}", "/", (name,)) for name in V1S), ())
NEW = Machine((Hierarchy(V2, "/c", "/", ("memory", "cpu", "cpuset", "pids", "io")),), ())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65536),
        ("7b", 7),
        ("512k", 512 << 10),
        ("300M", 300 * MIB),
        ("300mb", 300 * MIB),
        ("300MiB", 300 * MIB),
        ("1.5g", 1536 * MIB),
        ("1 G", 1 << 30),
        ("2t", 2 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "m", "-1", "5x", "1,5g", "0x10", "1e3", "5 0m", "٣m", "8388608t", "1gg", ".5g", "9" * 400],
)
def test_sizes_refused(text: str) -> None:
    with pytest.raises(Failure, match=r"300M|largest"):
        parse_size(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "", "half"])
def test_cpus_refused(text: str) -> None:
    with pytest.raises(Failure, match=r"0\.5"):
        forms.cpus(text)


def test_numbers() -> None:
    assert forms.numbers("0-2,5,7-7") == {0, 1, 2, 5, 7}
    for text in ("2-1", "0-99999999999"):
        with pytest.raises(Failure):
            forms.numbers(text)


@pytest.mark.parametrize(
    ("size", "text"), [(5, "5 B"), (100 * MIB, "100 MiB"), (1536 * MIB, "1.5 GiB"), (4096, "4 KiB")]
)
def test_size_text(size: int, text: str) -> None:
    assert size_text(size) == text


def test_device_rules() -> None:
    assert forms.device_rule(" c  1:11   r") == "c 1:11 r"
    assert forms.device_rule("a") == "a *:* rwm"
    for text in ("c 1 r", "c 1:2", "c 1:2 x", "d 1:2 r", "c 1:2 r\na"):
        with pytest.raises(Failure):
            forms.device_rule(text)


def test_a_partition_is_refused(tmp_path: Path) -> None:
    for entry in Path("/sys/class/block").iterdir():
        if (entry / "partition").exists() and (node := Path("/dev") / entry.name).exists():
            with pytest.raises(Failure, match="whole disks"):
                forms.device_number(str(node))
            return
    pytest.skip("no partition here")


# ---------------------------------------------------------------- file and value


def writes(limits: Limits, machine: Machine) -> list[tuple[str, str]]:
    return [(setting.file, setting.value) for setting in settings.plan(limits, machine)]


DISK = (("8:0", 1000),)


@pytest.mark.parametrize(
    ("limits", "v1", "v2"),
    [
        (Limits(), [], []),
        (
            Limits(memory=100 * MIB),
            [("memory.limit_in_bytes", "104857600"), ("memory.memsw.limit_in_bytes", "209715200")],
            [("memory.max", "104857600"), ("memory.swap.max", "104857600")],
        ),
        (
            Limits(memory=100, memory_swap=130, memory_reservation=50),
            [
                ("memory.limit_in_bytes", "100"),
                ("memory.memsw.limit_in_bytes", "130"),
                ("memory.soft_limit_in_bytes", "50"),
            ],
            [("memory.max", "100"), ("memory.swap.max", "30"), ("memory.low", "50")],
        ),
        (
            Limits(memory=100, memory_swap=UNLIMITED),
            [("memory.limit_in_bytes", "100"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.max", "100"), ("memory.swap.max", "max")],
        ),
        (
            Limits(cpus=0.5),
            [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")],
            [("cpu.max", "50000 100000")],
        ),
        (
            Limits(cpu_quota=UNLIMITED, cpu_period=5000),
            [("cpu.cfs_period_us", "5000"), ("cpu.cfs_quota_us", "-1")],
            [("cpu.max", "max 5000")],
        ),
        (Limits(cpu_quota=5000), [("cpu.cfs_quota_us", "5000")], [("cpu.max", "5000 100000")]),
        (Limits(cpu_period=5000), [("cpu.cfs_period_us", "5000")], [("cpu.max", "max 5000")]),
        (Limits(cpu_shares=1024), [("cpu.shares", "1024")], [("cpu.weight", "100")]),
        (Limits(cpu_shares=2), [("cpu.shares", "2")], [("cpu.weight", "1")]),
        (Limits(cpu_shares=262144), [("cpu.shares", "262144")], [("cpu.weight", "10000")]),
        (
            Limits(cpuset_cpus="0-1", cpuset_mems="0"),
            [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
            [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
        ),
        (Limits(pids=20), [("pids.max", "20")], [("pids.max", "20")]),
        (Limits(pids=UNLIMITED), [("pids.max", "max")], [("pids.max", "max")]),
        (Limits(blkio_weight=10), [("blkio.bfq.weight", "10")], [("io.bfq.weight", "10")]),
        (
            Limits(read_bps=DISK, write_iops=DISK),
            [
                ("blkio.throttle.read_bps_device", "8:0 1000"),
                ("blkio.throttle.write_iops_device", "8:0 1000"),
            ],
            [("io.max", "8:0 rbps=1000"), ("io.max", "8:0 wiops=1000")],
        ),
    ],
)
def test_both_worlds(limits: Limits, v1: list[tuple[str, str]], v2: list[tuple[str, str]]) -> None:
    assert writes(limits, OLD) == v1
    assert writes(limits, NEW) == v2


def test_a_hybrid_machine_is_asked_for_each_controller() -> None:
    mixed = (Hierarchy(V1, "/c/memory", "/", ("memory",)), Hierarchy(V2, "/c/2", "/", ("io",)))
    found = [file for file, _ in writes(Limits(memory=MIB, read_bps=DISK), Machine(mixed, ()))]
    assert found == ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "io.max"]


def test_nobody_asked_for_the_default_of_swap() -> None:
    """So a machine that does not count swap goes without."""
    for machine in (OLD, NEW):
        found = settings.plan(Limits(memory=MIB), machine)
        assert [setting.option for setting in found] == ["-m", ""]


def test_a_weight_without_bfq() -> None:
    (setting,) = settings.plan(Limits(blkio_weight=1000), NEW)
    assert setting.instead == (("io.weight", "10000"),)


@pytest.mark.parametrize(
    ("limits", "controller"),
    [
        (Limits(memory=MIB), "memory"),
        (Limits(cpus=1), "cpu"),
        (Limits(cpuset_cpus="0"), "cpuset"),
        (Limits(pids=1), "pids"),
        (Limits(blkio_weight=10), "blkio or io"),
    ],
)
def test_a_missing_controller_is_named(limits: Limits, controller: str) -> None:
    with pytest.raises(Failure, match=f"no {controller} controller"):
        settings.plan(limits, Machine((Hierarchy(V2, "/c", "/", ()),), ()))


def test_oom_kill_disable() -> None:
    limits = Limits(memory=MIB, oom_kill_disable=True)
    assert ("memory.oom_control", "1") in writes(limits, OLD)
    with pytest.raises(Failure, match="no such switch"):
        settings.plan(limits, NEW)


def test_every_setting_says_why_and_who_asked() -> None:
    full = Limits(
        memory=MIB, memory_swap=UNLIMITED, memory_reservation=MIB, cpus=1, cpu_shares=5,
        cpuset_cpus="0", cpuset_mems="0", pids=5, blkio_weight=10, read_bps=DISK, write_bps=DISK,
        read_iops=DISK, write_iops=DISK,
    )  # fmt: skip
    for machine in (OLD, NEW):
        assert all(setting.why and setting.option for setting in settings.plan(full, machine))
