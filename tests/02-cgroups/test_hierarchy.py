"""The view of a machine's hierarchies, from files as other machines have them."""

from pathlib import Path

import pytest

from mydocker.cgroups import controllers, hierarchy, rules
from mydocker.kernel.errors import Failure

V1_CGROUPS = """\
#subsys_name\thierarchy\tnum_cgroups\tenabled
cpuset\t5\t1\t1
cpu\t3\t61\t1
cpuacct\t3\t61\t1
memory\t0\t70\t0
net_cls\t0\t1\t1
pids\t7\t66\t1
"""
V1_MOUNTS = """\
25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:12 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime shared:13 - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/my\\040pids rw,relatime shared:14 - cgroup cgroup rw,pids
36 31 0:33 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd
"""
V2_CGROUPS = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n" + "".join(
    f"{name}\t0\t61\t1\n" for name in ("cpuset", "cpu", "memory", "pids", "perf_event", "freezer")
)
V2_MOUNTS = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def machine(root: Path, cgroups: str, mounts: str, v2: str = "", pids: str = "") -> str:
    """Plant the files of a machine below ``root``; ``v2`` is its cgroup.controllers."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/cgroups").write_text(cgroups)
    (root / "proc/self/mountinfo").write_text(mounts)
    for line in mounts.splitlines():
        place = root / line.split()[4].lstrip("/").replace("\\040", " ")
        if " - cgroup" in line:
            place.mkdir(parents=True, exist_ok=True)
            (place / "cgroup.procs").touch()
        if " - cgroup2 " in line:
            (place / "cgroup.controllers").write_text(v2)
    for number, text in enumerate(filter(None, pids.split("\n\n")), 100):
        (root / f"proc/{number}").mkdir()
        (root / f"proc/{number}/cgroup").write_text(text)
    return str(root)


def test_v1(tmp_path: Path) -> None:
    found = hierarchy.read(machine(tmp_path, V1_CGROUPS, V1_MOUNTS))
    assert found.world == "v1"
    assert [h.label for h in found.hierarchies] == ["cpu,cpuacct", "cpuset", "pids", "name=systemd"]
    assert found.holding("cpuacct") == found.holding("cpu")
    assert found.holding("memory") is None
    assert [h.label for h in found.usable] == ["cpu,cpuacct", "cpuset", "pids"]
    pids = found.holding("pids")
    assert pids is not None
    assert pids.directory("a/b") == f"{tmp_path}/sys/fs/cgroup/my pids/a/b"


def test_v2(tmp_path: Path) -> None:
    found = hierarchy.read(machine(tmp_path, V2_CGROUPS, V2_MOUNTS, "cpuset cpu io memory pids\n"))
    assert found.world == "v2"
    assert found.unified is not None
    assert found.unified.controllers == ("cpuset", "cpu", "io", "memory", "pids")
    assert found.unified.label == "unified"


def test_hybrid_has_each_controller_in_its_world(tmp_path: Path) -> None:
    mounts = V1_MOUNTS + V2_MOUNTS.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")
    found = hierarchy.read(machine(tmp_path, V1_CGROUPS, mounts, "hugetlb\n"))
    assert found.world == "hybrid"
    version = controllers.version_here
    assert version(found, controllers.named("hugetlb")) == hierarchy.V2
    assert version(found, controllers.named("pids")) == hierarchy.V1
    assert version(found, controllers.named("io")) is None


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    found = hierarchy.read(machine(tmp_path, V1_CGROUPS, V1_MOUNTS.splitlines()[0] + "\n"))
    assert (found.world, found.usable) == ("none", ())


def test_inside_a_container_the_mount_shows_the_group_of_the_container(tmp_path: Path) -> None:
    inside = V1_MOUNTS.replace(" / /sys/fs/cgroup/cpuset", " /docker/9f /sys/fs/cgroup/cpuset")
    found = hierarchy.read(machine(tmp_path, V1_CGROUPS, inside)).holding("cpuset")
    assert found is not None
    assert found.root == "/docker/9f"
    assert found.directory("mydocker") == f"{tmp_path}/sys/fs/cgroup/cpuset/mydocker"


@pytest.mark.parametrize("first", [True, False])
def test_of_two_mounts_of_a_hierarchy_the_widest_is_used(tmp_path: Path, first: bool) -> None:
    again = "90 31 0:31 /docker/9f /run/seen rw - cgroup cgroup rw,cpuset\n"
    mounts = again + V1_MOUNTS if first else V1_MOUNTS + again
    found = hierarchy.read(machine(tmp_path, V1_CGROUPS, mounts)).holding("cpuset")
    assert found is not None
    assert found.mountpoint.endswith("/sys/fs/cgroup/cpuset")


def test_a_mount_that_is_hidden_is_not_used(tmp_path: Path) -> None:
    root = machine(tmp_path, V1_CGROUPS, V1_MOUNTS)
    (tmp_path / "sys/fs/cgroup/cpuset/cgroup.procs").unlink()
    assert hierarchy.read(root).holding("cpuset") is None


def test_membership() -> None:
    text = "9:name=systemd:/\n4:memory:/a:b/c\n3:cpu,cpuacct:/\n0::/user.slice\n"
    groups = hierarchy.membership_of(text)
    assert groups == {
        "name=systemd": "/",
        "memory": "/a:b/c",
        "cpu,cpuacct": "/",
        "unified": "/user.slice",
    }


# ---------------------------------------------------------------- what the machine has


@pytest.mark.parametrize(
    ("name", "reason", "advice"),
    [
        ("memory", "switched off at boot", "cgroup_enable=memory"),
        ("net_cls", "not mounted", "mount -t cgroup -o net_cls"),
        ("blkio", "not in this kernel", "CONFIG_BLK_CGROUP"),
    ],
)
def test_why_a_controller_is_missing(tmp_path: Path, name: str, reason: str, advice: str) -> None:
    found = hierarchy.read(machine(tmp_path, V1_CGROUPS, V1_MOUNTS))
    controller = controllers.named(name)
    assert controllers.presence(found, controller) == (False, reason)
    error = controllers.missing(found, controller, "--option")
    assert "--option" in str(error) and name in str(error) and advice in str(error)


def test_what_v2_has_without_a_controller(tmp_path: Path) -> None:
    found = hierarchy.read(machine(tmp_path, V2_CGROUPS, V2_MOUNTS, "cpu\n"))
    for name in ("freezer", "devices", "cpuacct", "perf_event"):
        assert controllers.presence(found, controllers.named(name))[0], name
        assert "no controller" in str(controllers.missing(found, controllers.named(name), "--in"))
    assert not controllers.presence(found, controllers.named("net_cls"))[0]


def test_a_controller_that_nobody_knows() -> None:
    with pytest.raises(Failure, match="memory, cpu"):
        controllers.named("ram")


def test_every_subsystem_of_this_kernel_is_in_the_table() -> None:
    here = hierarchy.read()
    names = {s.name for s in here.subsystems} | set(
        here.unified.controllers if here.unified else ()
    )
    known = set(controllers.BY_NAME) | set(controllers.BY_V2_NAME)
    assert names - known <= {"debug", "dmem"}  # for the kernel's own developers, and for graphics


# ---------------------------------------------------------------- the four rules

PIDS = "3:cpu,cpuacct:/\n5:cpuset:/a\n7:pids:/\n1:name=systemd:/\n"


def test_rules_hold_here() -> None:
    findings = rules.check(hierarchy.read())
    assert len(findings) == 4
    assert [finding.exceptions for finding in findings] == [()] * 4


def test_rules_hold_on_a_sound_machine(tmp_path: Path) -> None:
    root = machine(tmp_path, V1_CGROUPS, V1_MOUNTS, pids=f"{PIDS}\n{PIDS}")
    assert [f.exceptions for f in rules.check(hierarchy.read(root), root)] == [(), (), ()]


@pytest.mark.parametrize("rule", [0, 1, 2])
def test_each_rule_can_be_broken(tmp_path: Path, rule: int) -> None:
    cgroups, mounts, pids = V1_CGROUPS, V1_MOUNTS, f"{PIDS}\n{PIDS}"
    if rule == 0:
        cgroups = cgroups.replace("cpuacct\t3", "cpuacct\t4")
    elif rule == 1:
        mounts += "99 31 0:99 / /sys/fs/cgroup/two rw - cgroup cgroup rw,cpuset,pids\n"
    else:
        pids = pids.removesuffix("7:pids:/\n1:name=systemd:/\n") + "1:name=systemd:/\n"
    root = machine(tmp_path, cgroups, mounts, pids=pids)
    found = [bool(f.exceptions) for f in rules.check(hierarchy.read(root), root)]
    assert found[rule]
