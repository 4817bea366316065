"""The plan of a root: as data, its options as flags, and other plans in its place."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sandbox.machine import Sandbox
from sandbox.patience import patience

from mydocker.kernel import syscalls
from mydocker.overlay2.mount_options import Options, options_of, words_of
from mydocker.overlay2.plan import (
    Contents,
    Device,
    Mount,
    Nodes,
    default_plan,
    mount_of,
    without_group,
)
from mydocker.overlay2.volumes import Volume

# As `runc spec` and Docker write them into a config.json, and the order of a container's
DOCKERS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "options": {"nosuid", "noexec", "nodev"}},
    {"destination": "/dev", "type": "tmpfs",
     "options": {"nosuid", "strictatime", "mode=755", "size=65536k"}},
    {"destination": "/dev/pts", "type": "devpts",
     "options": {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
    {"destination": "/dev/shm", "type": "tmpfs",
     "options": {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
    {"destination": "/dev/mqueue", "type": "mqueue", "options": {"nosuid", "noexec", "nodev"}},
    {"destination": "/sys", "type": "sysfs", "options": {"nosuid", "noexec", "nodev", "ro"}},
    {"destination": "/sys/fs/cgroup", "type": "cgroup2",
     "options": {"nosuid", "noexec", "nodev", "ro"}},
]  # fmt: skip


def seen(mounts: tuple[Mount, ...]) -> list[dict[str, Any]]:
    return [
        {"destination": one.destination, "type": one.type, "options": set(one.options)}
        for one in mounts
    ]


def test_the_default_is_dockers_list() -> None:
    assert seen(default_plan(unified=True).mounts) == DOCKERS
    assert seen(default_plan().mounts) == DOCKERS[:-1]


def test_what_was_asked_comes_after_it_in_order() -> None:
    device = Device("/dev/x", "/dev/fuse", 0o20666, os.makedev(10, 229))
    volumes = (Volume("bind", "/a", "/b"), Volume("tmpfs", "/t", flags=2, data="mode=700,size=1m"))
    plan = default_plan(volumes, True, Contents(shm_size=4096, devices=(device,)))
    kinds = [type(entry) for entry in plan.entries]
    assert kinds == [Mount, Mount, Nodes, Mount, Mount, Mount, Mount, Device, Mount, Mount]
    assert plan.mounts[3].options[-1] == "size=4096"
    assert plan.entries[-3] == device
    bind, tmpfs = plan.mounts[-2:]
    assert (bind.destination, bind.type, bind.source, bind.options) == (
        "/a",
        "bind",
        "/b",
        ("rbind",),
    )
    assert (tmpfs.type, tmpfs.options) == ("tmpfs", ("nosuid", "mode=700", "size=1m"))
    assert plan.sources == ("/b",) and plan.readonly


def test_an_open_container_hides_nothing() -> None:
    plan = default_plan(contents=Contents(open=True), unified=True)
    assert plan.masked_paths == plan.readonly_paths == ()
    assert not any(one.asked.flags & syscalls.MS_RDONLY for one in plan.mounts)
    usual = [one for one in default_plan(unified=True).mounts if one.asked.flags & 1]
    assert [one.destination for one in usual] == ["/sys", "/sys/fs/cgroup"]


def test_without_a_group_its_option_goes_and_nothing_else() -> None:
    usual = default_plan()
    fitted = without_group(usual, 5)
    changed = [(a, b) for a, b in zip(usual.entries, fitted.entries, strict=True) if a != b]
    ((before, after),) = changed
    assert isinstance(before, Mount) and isinstance(after, Mount)
    assert after.options == before.options[:-1] and before.options[-1] == "gid=5"
    assert without_group(usual, 6) == usual


RDONLY, NOSUID, NOEXEC = 1, 2, 8  # of both tables, <sys/mount.h> and <linux/mount.h>
RECURSIVE, SLAVE, SHARED = 0x8000, 1 << 19, 1 << 20


@pytest.mark.parametrize(
    ("words", "flags", "data"),
    [
        ("", 0, ""),
        ("defaults", 0, ""),
        ("ro,nosuid,noexec", RDONLY | NOSUID | NOEXEC, ""),
        ("ro,nosuid,rw", NOSUID, ""),
        ("nosuid,suid,size=1m,dev,mode=700", 0, "size=1m,mode=700"),
        ("strictatime,noatime,nodiratime,sync", 1 << 24 | 1 << 10 | 1 << 11 | 1 << 4, ""),
        ("dirsync,relatime", 1 << 7 | 1 << 21, ""),
        ("lowerdir=/a:/b,nonsense", 0, "lowerdir=/a:/b,nonsense"),
    ],
)
def test_options_of_a_filesystem(words: str, flags: int, data: str) -> None:
    asked = options_of(words.split(","))
    assert (asked.flags, asked.data, asked.bind) == (flags, data, False)
    assert options_of(words_of(flags, data)) == asked


@pytest.mark.parametrize(
    ("words", "recursive", "changes"),
    [
        ("bind", False, []),
        ("rbind,rw,rprivate", True, [(RECURSIVE, 0, 0, 1 << 18)]),
        ("rbind,ro", True, [(0, RDONLY, 0, 0)]),
        ("rbind,rro", True, [(RECURSIVE, RDONLY, 0, 0)]),
        ("bind,ro,nosuid,rnoexec", False, [(RECURSIVE, NOEXEC, 0, 0), (0, RDONLY | NOSUID, 0, 0)]),
        ("bind,rrw,rdev", False, [(RECURSIVE, 0, RDONLY | 4, 0)]),
        ("rbind,rro,rrw", True, [(RECURSIVE, 0, RDONLY, 0)]),
        ("rbind,ro,slave", True, [(0, RDONLY, 0, 0), (0, 0, 0, SLAVE)]),
        ("rbind,rshared", True, [(RECURSIVE, 0, 0, SHARED)]),
        # access times are one number, which is cleared before another can be set
        ("bind,noatime", False, [(0, 0x10, 0x70, 0)]),
        ("bind,rstrictatime", False, [(RECURSIVE, 0x20, 0x70, 0)]),
    ],
)
def test_options_of_a_bind(
    words: str, recursive: bool, changes: list[tuple[int, int, int, int]]
) -> None:
    asked = options_of(words.split(","))
    assert (asked.bind, asked.recursive, asked.changes) == (True, recursive, changes)


def test_a_read_only_volume_is_so_with_all_below() -> None:
    asked = mount_of(Volume("bind", "/a", "/b", read_only=True)).asked
    assert asked == Options(True, True, recursive_attributes=RDONLY)


# ---------------------------------------------------------------- another plan

# Who reads another form needs no more than this: here, some of a config.json.
READER = """
import json, sys
layers, bundle, run_directory = sys.argv[1:4]
sys.path[:0] = layers.split(":")
from mydocker.container.order import in_order
from mydocker.container.process import Process
from mydocker.container.running import run
from mydocker.kernel.errors import Failure
from mydocker.namespaces.specification import Namespaces, namespace_parts
from mydocker.overlay2.part import RootPart
from mydocker.overlay2.plan import Mount, Plan

config = json.load(open(f"{bundle}/config.json"))
mounts = [Mount(**{**one, "options": tuple(one.get("options", ()))}) for one in config["mounts"]]
linux, asked = config["linux"], Namespaces()
plan = Plan(tuple(mounts), tuple(linux["readonlyPaths"]), tuple(linux["maskedPaths"]),
            config["root"]["readonly"])
parts = in_order([*namespace_parts(asked, "0" * 64), RootPart(f"{bundle}/rootfs", plan)])
try:
    process = Process(tuple(config["args"]))
    ended = run(process, asked.clone_flags, parts, run_directory=run_directory)
except Failure as failure:
    sys.exit(str(failure))
sys.exit(ended.exit_code)
"""

CONFIG: dict[str, Any] = {
    "args": ["/bin/busybox", "sh", "-c", "cat /proc/self/mountinfo; ls -d /work/*"],
    "root": {"readonly": True},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs",
         "options": ["noexec", "nodev", "noatime", "size=1m", "rprivate"]},
        {"destination": "/work", "type": "bind", "source": "SHARED/work",
         "options": ["bind", "nosuid", "noexec", "rslave"]},
        {"destination": "/all", "type": "bind", "source": "SHARED/work",
         "options": ["rbind", "rro", "nosuid"]},
    ],
    "linux": {"readonlyPaths": ["/proc/sys", "/nowhere"], "maskedPaths": ["/proc/keys"]},
}  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "rootfs/bin").mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", tmp_path / "rootfs/bin/busybox")
    for name in ("cat", "ls", "sh"):
        (tmp_path / "rootfs/bin" / name).symlink_to("busybox")
    for name in ("proc", "scratch", "work", "all"):
        (tmp_path / "rootfs" / name).mkdir()
    (tmp_path / "work/below").mkdir(parents=True)
    (tmp_path / "work/there").touch()
    return tmp_path


def carried_out(
    sandbox: Sandbox, bundle: Path, config: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    """Run the container of a bundle, among mounts that are shared, as on most machines; one of them
    lies below the volume."""
    (bundle / "config.json").write_text(json.dumps(config).replace("SHARED", str(bundle)))
    layers = ":".join(str(path) for path in sorted(sandbox.steps.glob("0[123]-*")))
    shared = f"mount --bind {bundle} {bundle} && mount --make-shared {bundle}"
    below = f"mount -t tmpfs deeper {bundle}/work/below"
    script = f'{shared} && {below} && exec "$@"'
    reader = [sys.executable, "-ISc", READER, layers, str(bundle), str(sandbox.run)]
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *reader],
        capture_output=True,
        text=True,
        timeout=patience(60),
    )


@pytest.mark.root
def test_another_plan_is_carried_out(sandbox: Sandbox, bundle: Path) -> None:
    done = carried_out(sandbox, bundle, CONFIG)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines()[:-2]:
        fields = line.split()
        optional = fields[6 : fields.index("-")]
        found[fields[4]] = (set(fields[5].split(",")), fields[fields.index("-") + 1], optional)
    assert done.stdout.splitlines()[-2:] == ["/work/below", "/work/there"]
    places = {"/", "/proc", "/scratch", "/work", "/all", "/all/below", "/proc/sys", "/proc/keys"}
    assert found.keys() == places
    assert "ro" in found["/"][0] and "ro" in found["/proc/sys"][0]
    assert "rw" in found["/proc"][0] and found["/proc"][1] == "proc"
    assert {"rw", "noexec", "nodev", "noatime"} <= found["/scratch"][0]
    assert found["/scratch"][1] == "tmpfs" and not found["/scratch"][2]
    assert {"rw", "nosuid", "noexec"} <= found["/work"][0]
    assert {"ro", "nosuid"} <= found["/all"][0]
    assert "ro" in found["/all/below"][0] and "nosuid" not in found["/all/below"][0]
    assert not found["/all"][2] and "master:" not in str(found["/scratch"])


@pytest.mark.root
@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ({"destination": "/proc/self", "type": "tmpfs", "source": "x"}, "the kernel's"),
        ({"destination": "/link", "type": "tmpfs", "source": "x"}, "is the root itself"),
        ({"destination": "/to-proc", "type": "proc", "source": "x"}, "Too many levels"),
        ({"destination": "/to-proc", "type": "tmpfs", "source": "x"}, "is /proc, the kernel's"),
        ({"destination": "/proc", "type": "tmpfs", "source": "x"}, "is /proc, the kernel's"),
        ({"destination": "/work", "type": "tmpfs", "options": ["size=much"]}, "size=64m"),
        ({"destination": "/work", "type": "tmpfs", "options": ["shared"]}, "has no propagation"),
        ({"destination": "/work", "type": "no-such"}, "No such device"),
    ],
)
def test_the_rules_of_safety_hold_for_every_plan(
    sandbox: Sandbox, bundle: Path, mount: dict[str, Any], said: str
) -> None:
    (bundle / "rootfs/link").symlink_to("/")
    (bundle / "rootfs/to-proc").symlink_to("proc")
    config = {**CONFIG, "mounts": [CONFIG["mounts"][0], mount]}
    failed = carried_out(sandbox, bundle, config)
    assert failed.returncode == 1
    assert said in failed.stderr and failed.stderr.count("\n") == 1
