"""Limits seen from outside: the container is run, and the kernel's own files are read."""

import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from sandbox.groups import Outside
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root

BUSY = "while :; do :; done"


def test_the_process_is_in_a_group_of_its_own_below_ours(
    mydocker: Launcher, outside: Outside, sandbox: Sandbox
) -> None:
    started = mydocker.start(2, "run", "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    everywhere = {"memory", "pids", "cpu", "blkio"} | {"unified"} & set(outside.mounts)
    for controller in everywhere:
        directory = outside.directory(pid, controller)
        assert re.fullmatch("[0-9a-f]{64}", directory.name)
        assert directory.parent.name == sandbox.cgroup_parent
        assert pid in map(int, (directory / "cgroup.procs").read_text().split())


def test_its_cgroup_namespace_begins_at_its_group(mydocker: Launcher) -> None:
    done = mydocker(2, "run", "cat", "/proc/self/cgroup")
    groups = {line.split(":")[1]: line.split(":", 2)[2] for line in done.stdout.splitlines()}
    assert {path for names, path in groups.items() if not names.startswith("name=")} == {"/"}


def test_memory_limit_kills_and_says_so(mydocker: Launcher) -> None:
    done = mydocker(
        2, "run", "-m", "20M", "dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1", code=137
    )
    assert "mydocker: killed: out of memory, limit 20 MiB\n" in done.stderr


def test_no_word_of_memory_when_killed_otherwise(mydocker: Launcher) -> None:
    done = mydocker(2, "run", "--mount", "-m", "20M", "sh", "-c", "kill -9 $$", code=137)
    assert "memory" not in done.stderr


def test_memory_values(mydocker: Launcher, outside: Outside) -> None:
    started = mydocker.start(2, "run", "-m", "37M", "--memory-reservation", "21m", "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    assert int(outside.read(pid, "memory.limit_in_bytes", "memory.max")) == 37 << 20
    assert int(outside.read(pid, "memory.soft_limit_in_bytes", "memory.low")) == 21 << 20


@pytest.mark.parametrize(
    ("option", "v1", "v2"),
    [
        ((), 60 << 20, str(30 << 20)),
        (("--memory-swap", "45M"), 45 << 20, str(15 << 20)),
        (("--memory-swap", "-1"), None, "max"),
    ],
)
def test_swap(
    mydocker: Launcher, outside: Outside, option: tuple[str, ...], v1: int | None, v2: str
) -> None:
    started = mydocker.start(2, "run", "-m", "30M", *option, "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    name = "memory.memsw.limit_in_bytes" if outside.is_v1("memory") else "memory.swap.max"
    file = outside.directory(pid, "memory") / name
    if not file.exists():
        pytest.skip("this kernel does not count swap")
    told = file.read_text().strip()
    if not outside.is_v1("memory"):
        assert told == v2
    elif v1 is None:
        assert int(told) > 1 << 60
    else:
        assert int(told) == v1


def test_cpu_quota_throttles(mydocker: Launcher, outside: Outside) -> None:
    started = mydocker.start(2, "run", "--cpus", "0.2", "sh", "-c", BUSY)
    pid = mydocker.inside(started, "sh")
    limit = outside.read(pid, "cpu.cfs_quota_us", "cpu.max")
    assert limit in ("20000", "20000 100000")
    eventually(lambda: outside.number(pid, "cpu.stat", "cpu.stat", "nr_throttled") > 1)


def test_cpu_shares_and_period(mydocker: Launcher, outside: Outside) -> None:
    limits = ("--cpu-shares", "2048", "--cpu-period", "50000", "--cpu-quota", "25000")
    started = mydocker.start(2, "run", *limits, "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    assert outside.read(pid, "cpu.shares", "cpu.weight") == (
        "2048" if outside.is_v1("cpu") else "174"
    )
    if outside.is_v1("cpu"):
        assert outside.read(pid, "cpu.cfs_period_us", "") == "50000"
        assert outside.read(pid, "cpu.cfs_quota_us", "") == "25000"
    else:
        assert outside.read(pid, "", "cpu.max") == "25000 50000"


def test_cpuset(mydocker: Launcher, outside: Outside) -> None:
    last = max(os.sched_getaffinity(0))
    started = mydocker.start(
        2, "run", "--cpuset-cpus", str(last), "--cpuset-mems", "0", "sleep", "60"
    )
    pid = mydocker.inside(started, "sleep")
    assert os.sched_getaffinity(pid) == {last}
    assert outside.read(pid, "cpuset.mems", "cpuset.mems") == "0"


FORKS = "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2 & done; wait"


def test_pids_limit_refuses_fork(mydocker: Launcher) -> None:
    refused = mydocker(2, "run", "--pids-limit", "5", "sh", "-c", FORKS, code=None)
    assert refused.returncode != 0
    assert "fork" in refused.stderr
    mydocker(2, "run", "--pids-limit", "20", "sh", "-c", FORKS)
    mydocker(2, "run", "--pids-limit", "-1", "sh", "-c", FORKS)


def test_pids_refusals_are_counted_outside(mydocker: Launcher, outside: Outside) -> None:
    # bash tries again for a while when a fork is refused: time to look.
    script = "sleep 60 & sleep 60 & sleep 60 & wait"
    started = mydocker.start(2, "run", "--pids-limit", "3", "bash", "-c", script)
    pid = mydocker.inside(started, "bash")
    assert outside.read(pid, "pids.max", "pids.max") == "3"
    eventually(lambda: outside.number(pid, "pids.events", "pids.events", "max") > 0)


# ---------------------------------------------------------------- devices

# Without a user namespace: in one, root may not open /dev/kmsg or make nodes in any case.
KMSG = ("--mount", "sh", "-c", ": </dev/kmsg")


def test_a_device_that_is_not_allowed_cannot_be_opened(mydocker: Launcher) -> None:
    refused = mydocker(2, "run", *KMSG, code=2)
    assert "Operation not permitted" in refused.stderr
    mydocker(2, "run", "--device-cgroup-rule", "c 1:11 r", *KMSG)
    mydocker(2, "run", "--device-cgroup-rule", "a", *KMSG)


def test_reading_allowed_is_not_writing_allowed(mydocker: Launcher) -> None:
    write = ("--mount", "sh", "-c", ": >>/dev/kmsg")
    mydocker(2, "run", "--device-cgroup-rule", "c 1:11 r", *write, code=2)
    mydocker(2, "run", "--device-cgroup-rule", "c 1:11 rw", *write)


def test_a_rule_for_one_number_is_not_one_for_its_neighbour(mydocker: Launcher) -> None:
    for rule in ("c 1:10 rwm", "c 2:11 rwm", "b 1:11 rwm"):
        mydocker(2, "run", "--device-cgroup-rule", rule, *KMSG, code=2)
    mydocker(2, "run", "--device-cgroup-rule", "c 1:* r", *KMSG)


def test_a_node_may_be_made_but_not_opened(mydocker: Launcher, sandbox: Sandbox) -> None:
    node = sandbox.directory / "disk"
    script = f"mknod {node} b 7 0 && : <{node}"
    refused = mydocker(2, "run", "--mount", "sh", "-c", script, code=2)
    assert stat.S_ISBLK(node.stat().st_mode)
    node.unlink()
    assert "Operation not permitted" in refused.stderr


def test_the_harmless_devices_work(mydocker: Launcher) -> None:
    script = "for d in null zero full random urandom; do : </dev/$d || exit 9; done; : >/dev/null"
    mydocker(2, "run", "--mount", "sh", "-c", script)


# ---------------------------------------------------------------- disks


def _disk(directory: Path) -> str:
    """The path of the whole disk that ``directory`` is on."""
    number = directory.stat().st_dev
    entry = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not entry.exists():
        pytest.skip(f"{directory} is not on a block device")
    disk = entry.resolve()
    disk = disk.parent if (disk / "partition").exists() else disk
    path = Path("/dev") / disk.name
    if not path.is_block_device():
        pytest.skip(f"no node for the disk {disk.name}")
    return str(path)


def _written(directory: Path) -> int:
    for name in ("io.stat", "blkio.throttle.io_service_bytes_recursive"):
        file = directory / name
        if file.exists():
            text = file.read_text()
            return sum(map(int, re.findall(r"(?:wbytes=|Write )(\d+)", text)))
    raise LookupError(str(directory))


def test_a_write_limit_slows_a_direct_write(
    mydocker: Launcher, outside: Outside, sandbox: Sandbox
) -> None:
    disk = _disk(sandbox.directory)
    write = ("dd", "if=/dev/zero", "bs=64k", "count=128", "oflag=direct", "status=none")
    slow = mydocker.start(
        2, "run", "--device-write-bps", f"{disk}:64k", *write, f"of={sandbox.directory}/slow"
    )
    pid = mydocker.inside(slow, "dd")
    group = outside.directory(pid, "blkio")
    eventually(lambda: _written(group) > 0)
    mydocker(2, "run", *write, f"of={sandbox.directory}/quick")
    # The other has written all of its 8 MiB; at its rate this one needs two minutes for as much.
    assert slow.poll() is None
    assert _written(group) < 128 * 65536
    os.kill(pid, signal.SIGKILL)
    slow.wait(30)
    for name in ("slow", "quick"):
        (sandbox.directory / name).unlink()


@pytest.mark.parametrize(
    ("option", "v1", "v2"),
    [
        ("--device-read-bps", "blkio.throttle.read_bps_device", "rbps=3145728"),
        ("--device-write-bps", "blkio.throttle.write_bps_device", "wbps=3145728"),
        ("--device-read-iops", "blkio.throttle.read_iops_device", "riops=3145728"),
        ("--device-write-iops", "blkio.throttle.write_iops_device", "wiops=3145728"),
    ],
)
def test_disk_values(
    mydocker: Launcher, outside: Outside, sandbox: Sandbox, option: str, v1: str, v2: str
) -> None:
    disk = _disk(sandbox.directory)
    number = os.stat(disk).st_rdev
    started = mydocker.start(2, "run", option, f"{disk}:3145728", "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    told = outside.read(pid, v1, "io.max").split()
    assert told[0] == f"{os.major(number)}:{os.minor(number)}"
    assert ("3145728" if outside.is_v1("blkio") else v2) in told[1:]


def test_blkio_weight_is_set_or_refused(mydocker: Launcher, outside: Outside) -> None:
    done = mydocker(2, "run", "--blkio-weight", "300", "true", code=None)
    if done.returncode:
        assert done.returncode == 125
        assert "--blkio-weight" in done.stderr and "bfq" in done.stderr
        return
    started = mydocker.start(2, "run", "--blkio-weight", "300", "sleep", "60")
    group = outside.directory(mydocker.inside(started, "sleep"), "blkio")
    names = {
        "blkio.bfq.weight": "300",
        "blkio.weight": "300",
        "io.bfq.weight": "300",
        "io.weight": "2930",
    }
    found = {n: (group / n).read_text().split()[-1] for n in names if (group / n).exists()}
    assert any(found[name] == names[name] for name in found), found


def test_oom_kill_disable_where_the_kernel_has_it(mydocker: Launcher, outside: Outside) -> None:
    if outside.is_v1("memory"):
        started = mydocker.start(2, "run", "-m", "30M", "--oom-kill-disable", "sleep", "60")
        pid = mydocker.inside(started, "sleep")
        assert outside.number(pid, "memory.oom_control", "", "oom_kill_disable") == 1
    else:
        refused = mydocker(2, "run", "-m", "30M", "--oom-kill-disable", "true", code=125)
        assert "cgroup v2 has no such switch" in refused.stderr


# ---------------------------------------------------------------- the end


def test_what_the_container_leaves_running_ends_with_it(
    mydocker: Launcher, sandbox: Sandbox
) -> None:
    # --uts alone: without a PID namespace nothing else ends what was put into the background.
    marker = f"60.{os.getpid()}"
    mydocker(2, "run", "--uts", "sh", "-c", f"setsid sleep {marker} >/dev/null 2>&1 &")
    left = [p for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])]
    assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []


def test_groups_that_the_container_made_go_with_it(
    mydocker: Launcher, outside: Outside, sandbox: Sandbox
) -> None:
    started = mydocker.start(2, "run", "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    inner = outside.directory(pid, "pids") / "inner" / "most"
    inner.mkdir(parents=True)
    started.send_signal(signal.SIGTERM)
    os.kill(pid, signal.SIGKILL)
    started.wait(20)
    assert not inner.parent.parent.exists()
    assert not inner.parent.parent.parent.exists()


def test_parent_of_choice(mydocker: Launcher, outside: Outside, sandbox: Sandbox) -> None:
    made = f"{sandbox.cgroup_parent}-class/one"
    started = mydocker.start(2, "run", "--cgroup-parent", made, "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    directory = outside.directory(pid, "memory")
    assert str(directory.parent).endswith(f"/{made}")
    os.kill(pid, signal.SIGKILL)
    started.wait(20)
    assert not directory.parent.parent.exists()


def test_a_parent_that_was_there_stays(
    mydocker: Launcher, outside: Outside, sandbox: Sandbox
) -> None:
    there = outside.mounts.get("pids", outside.mounts.get("unified"))
    assert there is not None
    parent = there / f"{sandbox.cgroup_parent}-there"
    parent.mkdir()
    try:
        mydocker(2, "run", "--cgroup-parent", parent.name, "true")
        assert parent.is_dir()
    finally:
        parent.rmdir()


def test_many_at_once_share_the_parent(
    mydocker: Launcher, outside: Outside, sandbox: Sandbox
) -> None:
    runs = [mydocker.start(2, "run", "-m", "30M", "--pids-limit", "9", "true") for _ in range(12)]
    assert [run.wait(60) for run in runs] == [0] * 12, [
        run.stderr and run.stderr.read() for run in runs
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-m", "5x"), "300M"),
        (("-m", "5m"), "6m"),
        (("--memory-swap", "50m"), "-m"),
        (("-m", "50m", "--memory-swap", "40m"), "is less than -m"),
        (("-m", "50m", "--memory-reservation", "60m"), "--memory-reservation"),
        (("--oom-kill-disable",), "-m"),
        (("--cpus", "many"), "0.5"),
        (("--cpus", "9999"), "This machine allows 0.01 to"),
        (("--cpus", "1", "--cpu-quota", "5000"), "--cpu-quota"),
        (("--cpu-shares", "1"), "262144"),
        (("--cpu-period", "10"), "1000000"),
        (("--cpuset-cpus", "4000"), "There are: 0"),
        (("--cpuset-cpus", "2-1"), "0-2"),
        (("--cpuset-cpus", "a"), "0-2,5"),
        (("--pids-limit", "few"), "number from 1"),
        (("--blkio-weight", "5"), "1000"),
        (("--device-read-bps", "1mb"), "/dev/sda:1mb"),
        (("--device-read-bps", "/dev/null:1mb"), "not a block device"),
        (("--device-write-iops", "/nowhere:5"), "No such file"),
        (("--device-cgroup-rule", "x 1:2 r"), "c 1:11 r"),
        (("--cgroup-parent", "a/../b"), "not the path of a group"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    mydocker: Launcher, options: tuple[str, ...], said: str
) -> None:
    done = mydocker(2, "run", *options, "true", code=125)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("kind", ["fail", "kill"])
def test_a_fault_at_any_request_leaves_nothing(
    mydocker: Launcher, sandbox: Sandbox, kind: str
) -> None:
    """The host contract around this test looks for what would be left."""
    from mydocker.container import leftovers

    number = 0
    while True:
        number += 1
        done = mydocker(
            2,
            "run",
            "-m",
            "30M",
            "--pids-limit",
            "9",
            "true",
            code=None,
            env={"MYDOCKER_FAULT": f"{kind}:{number}"},
        )
        leftovers.prune(str(sandbox.run))
        if done.returncode == 0 or number > 400:
            break
        expected = (125, 126) if kind == "fail" else (-signal.SIGKILL,)  # 126: execve(2) failed
        assert done.returncode in expected, done.stderr
        assert not sandbox_groups(sandbox), f"{kind}:{number} left a group"
    assert 15 < number <= 400  # as many as a run makes; in v1 some 60


def sandbox_groups(sandbox: Sandbox) -> list[Path]:
    end = time.monotonic() + 5
    while found := [
        p for m in Outside().mounts.values() for p in m.glob(f"{sandbox.cgroup_parent}/*")
    ]:
        if time.monotonic() > end:
            break
        time.sleep(0.02)
    return found


def test_a_user_who_is_not_root_gets_one_line(mydocker: Launcher) -> None:
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    command = [*user, *mydocker.argv(2, "run", "-m", "50M", "true")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 125
    (line,) = done.stderr.splitlines()
    # of the run directory, once another test has made it, or of what comes first else
    assert "Permission denied" in line and "sudo" in line
