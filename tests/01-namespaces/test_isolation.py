"""What each namespace hides, seen from inside and from outside.

Every test looks both ways: with the namespace the thing is apart, and without it, it is not.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root


def sh(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# ---------------------------------------------------------------- uts


def test_host_name(mydocker: Launcher) -> None:
    name, outside = f"box-{secrets.token_hex(4)}", os.uname().nodename
    assert mydocker(1, "run", "-h", name, "uname", "-n").stdout == f"{name}\n"
    assert os.uname().nodename == outside


def test_without_a_name_the_host_name_is_an_identifier(mydocker: Launcher) -> None:
    names = {mydocker(1, "run", "--uts", "uname", "-n").stdout.strip() for _ in range(2)}
    assert len(names) == 2
    assert all(len(name) == 12 and int(name, 16) >= 0 for name in names)


def test_domain_name(mydocker: Launcher) -> None:
    name, file = f"d{secrets.token_hex(4)}", Path("/proc/sys/kernel/domainname")
    before = file.read_text()
    inside = mydocker(1, "run", "--uts", "--domainname", name, "cat", str(file))
    assert inside.stdout == f"{name}\n"
    assert file.read_text() == before


def test_a_host_name_of_64_bytes_and_no_more(mydocker: Launcher) -> None:
    longest = "ü" * 32
    assert mydocker(1, "run", "-h", longest, "uname", "-n").stdout == f"{longest}\n"
    refused = mydocker(1, "run", "-h", f"{longest}x", "true", code=125)
    assert "at most 64 bytes" in refused.stderr


@pytest.mark.parametrize(
    "option, other",
    [("--hostname=x", "--pid"), ("--uid-map=0:0", "--uts"), ("--boottime=5", "--uts")],
)
def test_an_option_without_its_namespace_is_refused(
    mydocker: Launcher, option: str, other: str
) -> None:
    refused = mydocker(1, "run", other, option, "true", code=125)
    assert "no new namespace for it. Add --" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


# ---------------------------------------------------------------- pid


def test_the_command_is_pid_1_and_sees_only_its_own(mydocker: Launcher) -> None:
    inside = mydocker(1, "run", "sh", "-c", "echo $$; cd /proc; echo [0-9]*").stdout.split()
    assert inside == ["1", "1"]


def test_pid_1_is_another_pid_outside(mydocker: Launcher) -> None:
    started = mydocker.start(1, "run", "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    (numbers,) = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "NSpid" in x]
    assert numbers.split()[1:] == [str(pid), "1"]


def test_without_a_mount_namespace_proc_is_left_alone(mydocker: Launcher) -> None:
    inside = mydocker(1, "run", "--pid", "sh", "-c", "echo $$; ls -d /proc/[0-9]* | wc -l")
    first, seen = inside.stdout.split()
    assert first == "1"
    assert int(seen) > 1, "the host's /proc shows the host's processes"


# ---------------------------------------------------------------- mnt


@pytest.fixture
def shared(sandbox: Sandbox) -> Iterator[Path]:
    """A mount that hands on what is mounted below it, as most machines have their root."""
    top = sandbox.directory / "shared"
    top.mkdir()
    sh("mount", "-t", "tmpfs", "none", str(top))
    sh("mount", "--make-shared", str(top))
    (top / "inner").mkdir()
    yield top
    sh("umount", "-R", str(top))
    top.rmdir()


def mounts_at(path: Path | str) -> int:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sum(line.split()[4] == str(path) for line in lines)


def test_the_shared_mount_would_hand_a_mount_on(shared: Path) -> None:
    """The test of the test below: with util-linux told to leave propagation alone."""
    script = f"mount -t tmpfs none {shared}/inner"
    sh("unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script)
    assert mounts_at(shared / "inner") == 1


@pytest.mark.parametrize("options", [[], ["--mount"], ["--mount", "--pid"]], ids=" ".join)
def test_a_mount_inside_stays_inside(mydocker: Launcher, shared: Path, options: list[str]) -> None:
    script = f"mount -t tmpfs none {shared}/inner && grep -c {shared}/inner /proc/self/mountinfo"
    assert mydocker(1, "run", *options, "sh", "-c", script).stdout == "1\n"
    assert mounts_at(shared / "inner") == 0


@pytest.mark.parametrize("options", [[], ["--mount", "--pid"]], ids=" ".join)
def test_a_fresh_proc_does_not_cover_the_readers(mydocker: Launcher, options: list[str]) -> None:
    before = mounts_at("/proc")
    sh("mount", "--make-shared", "/proc")
    try:
        mydocker(1, "run", *options, "true")
        assert mounts_at("/proc") == before
    finally:
        sh("mount", "--make-private", "/proc")


@pytest.mark.parametrize("options", [[], ["--mount", "--pid"]], ids=" ".join)
def test_nothing_in_proc_is_a_device_or_a_program(mydocker: Launcher, options: list[str]) -> None:
    """As every distribution mounts it: no file of /proc may ever give rights, or run (mount(8))."""
    told = mydocker(1, "run", *options, "cat", "/proc/self/mountinfo").stdout.splitlines()
    flags = [line.split()[5].split(",") for line in told if line.split()[4] == "/proc"]
    assert {"nosuid", "nodev", "noexec"} <= set(flags[-1])  # the last covers those before it


def test_inside_a_directory_can_be_bound(mydocker: Launcher, sandbox: Sandbox) -> None:
    place = sandbox.directory / "bound"
    place.mkdir()
    try:
        mydocker(1, "run", "mount", "--bind", "/usr", str(place))
    finally:
        place.rmdir()


# ---------------------------------------------------------------- ipc


@pytest.mark.parametrize("kind", ["-M 4096", "-Q", "-S 2"])
def test_system_v_ipc_of_others_is_not_there(mydocker: Launcher, kind: str) -> None:
    run = " ".join(mydocker.argv(1, "run"))
    letter = kind[1].lower()
    # In an IPC namespace of its own, which takes what is made here with it.
    script = (
        f"ipcmk {kind} >/dev/null; {run} ipcs -{letter}; echo =====; {run} --uts ipcs -{letter}"
    )
    inside, shared = sh("unshare", "--ipc", "sh", "-c", script).split("=====")
    assert "0x" not in inside
    assert shared.count("0x") == 1


# ---------------------------------------------------------------- net


def test_the_only_link_is_lo_and_it_is_up(mydocker: Launcher) -> None:
    (link,) = mydocker(1, "run", "ip", "-oneline", "link").stdout.splitlines()
    assert link.split()[1] == "lo:"
    assert "UP" in link.split()[2].strip("<>").split(",")


ANSWERS = """
import socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname())
print("answered")
"""


def test_loopback_answers(mydocker: Launcher) -> None:
    inside = mydocker(1, "run", sys.executable, "-c", ANSWERS)
    assert inside.stdout == "answered\n"


def test_ports_of_the_host_are_not_there(mydocker: Launcher) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ask = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        inside = mydocker(1, "run", sys.executable, "-c", ask, code=1)
        assert "ConnectionRefusedError" in inside.stderr
        mydocker(1, "run", "--uts", sys.executable, "-c", ask)


# ---------------------------------------------------------------- cgroup


@pytest.fixture
def group(sandbox: Sandbox) -> Iterator[Path]:
    """A group of our own in one of the machine's hierarchies, version 2 if there is one."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    found = [line for line in lines if " - cgroup" in line]
    found.sort(key=lambda line: " - cgroup2 " not in line)
    group = Path(found[0].split()[4]) / f"{sandbox.cgroup_parent}-view"
    group.mkdir()
    yield group
    group.rmdir()


def test_the_group_of_the_process_looks_like_the_root(mydocker: Launcher, group: Path) -> None:
    run = " ".join(mydocker.argv(1, "run"))
    script = f"echo $$ >{group}/cgroup.procs; {run} OPTION cat /proc/self/cgroup"
    inside = sh("sh", "-c", script.replace("OPTION", ""))
    alone = sh("sh", "-c", script.replace("OPTION", "--cgroup"))
    shared = sh("sh", "-c", script.replace("OPTION", "--uts"))
    assert group.name not in inside
    assert group.name not in alone
    assert inside.count(":/\n") == len(inside.splitlines())
    assert f"/{group.name}\n" in shared


# ---------------------------------------------------------------- time


def test_clocks_are_moved(mydocker: Launcher) -> None:
    boot, monotonic = secrets.randbelow(10**6) + 10**6, secrets.randbelow(10**6) + 10**7
    options = ["--boottime", str(boot), "--monotonic", str(monotonic)]
    started = mydocker.start(1, "run", *options, "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    offsets = Path(f"/proc/{pid}/timens_offsets").read_text().split()
    assert offsets == ["monotonic", str(monotonic), "0", "boottime", str(boot), "0"]


def test_the_command_itself_sees_the_moved_clocks(mydocker: Launcher) -> None:
    clocks = "import time; print(time.clock_gettime(7), time.clock_gettime(1))"
    here = (time_of(7), time_of(1))
    run = ["run", "--time", "--boottime", "5000000", "--monotonic", "-1"]
    boot, monotonic = map(float, mydocker(1, *run, sys.executable, "-c", clocks).stdout.split())
    assert boot > here[0] + 4999999
    assert monotonic < here[1] + 4999999


def test_an_init_is_in_the_moved_clocks_itself(mydocker: Launcher) -> None:
    """execve(2) takes the command along on newer kernels; an init lives on without one."""
    started = mydocker.start(1, "run", "--init", "--boottime", "1000000", "sleep", "60")
    first = psutil.Process(mydocker.inside(started, "sleep")).ppid()
    own, childrens = (os.readlink(f"/proc/{first}/ns/time{x}") for x in ("", "_for_children"))
    assert own == childrens


def time_of(clock: int) -> float:
    import time

    return time.clock_gettime(clock)


@pytest.mark.parametrize("seconds", ["-999999999", "9999999999"])
def test_a_clock_cannot_be_moved_out_of_its_range(mydocker: Launcher, seconds: str) -> None:
    refused = mydocker(1, "run", "--time", "--boottime", seconds, "true", code=125)
    assert "timens_offsets" in refused.stderr
    assert "146 years" in refused.stderr
