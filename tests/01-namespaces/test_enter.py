"""``enter``: a second process in the namespaces of the first."""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import Popen
from typing import Any

import pexpect
import psutil
import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox
from sandbox.patience import patience

from mydocker.namespaces.kinds import KINDS

pytestmark = pytest.mark.root

WITHOUT_ROOT: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}


def namespaces(pid: int | str) -> dict[str, str]:
    return {kind.name: os.readlink(f"/proc/{pid}/ns/{kind.name}") for kind in KINDS}


@pytest.fixture
def name() -> str:
    return f"box-{secrets.token_hex(4)}"


@pytest.fixture
def target(mydocker: Launcher, name: str) -> int:
    """The pid of a container's first process."""
    return mydocker.inside(mydocker.start(1, "run", "-h", name, "sleep", "60"), "sleep")


def test_what_is_seen_from_inside(mydocker: Launcher, target: int, name: str) -> None:
    script = "uname -n; pwd; id -u; cat /proc/1/comm; ip -oneline link | wc -l; cat /proc/1/cmdline"
    inside = mydocker(1, "enter", str(target), "sh", "-c", script).stdout
    assert inside == f"{name}\n/\n0\nsleep\n1\nsleep\x0060\x00"


def test_all_eight_seen_from_outside(mydocker: Launcher, target: int) -> None:
    entered = mydocker.start(1, "enter", str(target), "tail", "-f", "/dev/null")
    assert namespaces(mydocker.inside(entered, "tail")) == namespaces(target)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.option)
def test_one_alone(mydocker: Launcher, target: int, kind: Any) -> None:
    entered = mydocker.start(1, "enter", f"--{kind.option}", str(target), "tail", "-f", "/dev/null")
    inside = namespaces(mydocker.inside(entered, "tail"))
    joined = {name for name in inside if inside[name] == namespaces(target)[name]}
    assert joined == {kind.name}


def test_only_what_differs(mydocker: Launcher, name: str) -> None:
    started = mydocker.start(1, "run", "--uts", "--pid", "-h", name, "sleep", "60")
    target = mydocker.inside(started, "sleep")
    assert (
        mydocker(1, "enter", str(target), "sh", "-c", "uname -n; echo $PPID").stdout
        == f"{name}\n0\n"
    )


@pytest.mark.parametrize("code", [0, 49, 255])
def test_exit_codes(mydocker: Launcher, target: int, code: int) -> None:
    mydocker(1, "enter", str(target), "sh", "-c", f"exit {code}", code=code)


def test_no_command_inside(mydocker: Launcher, target: int) -> None:
    assert "not found in $PATH" in mydocker(1, "enter", str(target), "nosuch", code=127).stderr


def test_signals(mydocker: Launcher, target: int) -> None:
    entered = mydocker.start(1, "enter", str(target), "tail", "-f", "/dev/null")
    mydocker.inside(entered, "tail")
    entered.terminate()
    assert entered.wait(20) == 143
    assert psutil.pid_exists(target)


def test_if_we_are_killed_the_command_goes_and_the_container_stays(
    mydocker: Launcher, target: int
) -> None:
    entered = mydocker.start(1, "enter", str(target), "tail", "-f", "/dev/null")
    tail = psutil.Process(mydocker.inside(entered, "tail"))
    entered.kill()
    psutil.wait_procs([tail], timeout=patience(20))
    assert not tail.is_running() or tail.status() == psutil.STATUS_ZOMBIE
    assert psutil.Process(target).status() != psutil.STATUS_ZOMBIE


def test_when_the_container_ends_so_does_the_command(mydocker: Launcher, target: int) -> None:
    entered = mydocker.start(1, "enter", str(target), "tail", "-f", "/dev/null")
    mydocker.inside(entered, "tail")
    os.kill(target, 9)
    assert entered.wait(20) == 137


def test_a_terminal(mydocker: Launcher, target: int, name: str) -> None:
    program, *arguments = mydocker.argv(1, "enter", str(target), "sh", "-i")
    environment: Any = {**os.environ, "PS1": "ready> ", "ENV": "/dev/null"}
    child = pexpect.spawn(
        program,
        arguments,
        env=environment,
        dimensions=(31, 97),
        encoding="utf-8",
        timeout=patience(20),
    )
    child.expect_exact("ready> ")
    child.sendline("stty size; uname -n; tty")
    child.expect(rf"31 97\r\n{name}\r\n/dev/pts/\d+\r\n")
    child.sendline("exit 50")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 50


def test_the_root_directory_of_the_process(mydocker: Launcher, sandbox: Sandbox) -> None:
    """A process may have its root elsewhere than its mount namespace has."""
    root = sandbox.directory / "root-of-its-own"
    (root / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    busybox = ["chroot", str(root), "/bin/busybox", "sleep", "60"]
    target = mydocker.inside(mydocker.start(1, "run", "--mount", *busybox), "busybox")
    entered = mydocker(1, "enter", str(target), "/bin/busybox", "ls", "/")
    assert entered.stdout == "bin\n"


def test_without_the_mounts_the_root_stays_ours(mydocker: Launcher, sandbox: Sandbox) -> None:
    root = sandbox.directory / "root-of-another"
    (root / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    busybox = ["chroot", str(root), "/bin/busybox", "sleep", "60"]
    run = mydocker.start(1, "run", "--mount", "--uts", "-h", "another", *busybox)
    target = mydocker.inside(run, "busybox")
    entered = mydocker(
        1, "enter", "--uts", str(target), "sh", "-c", "uname -n; ls -d /usr", code=None
    )
    assert (entered.returncode, entered.stdout) == (0, "another\n/usr\n")


GET_DUMPABLE = """
import ctypes, sys
from mydocker.kernel import syscalls
from mydocker.namespaces import joining

def dumpable():
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))

def setns(*arguments, join=syscalls.setns, **others):
    dumpable()
    join(*arguments, **others)

syscalls.setns = setns
joining.Joined(joining.find(int(sys.argv[1])), 0, syscalls.CLONE_NEWUTS).enter()
dumpable()
"""


def test_those_inside_cannot_trace_who_comes_in(target: int, sandbox: Sandbox) -> None:
    """What is between setns(2) and execve(2) is a process of the host, in the container's reach."""
    path = str(sandbox.steps / "01-namespaces")
    command = [sys.executable, "-c", GET_DUMPABLE, str(target)]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    told = f"dumpable when it joins, and at the end: {done.stdout.split()}"
    assert set(done.stdout.split()) == {"0"}, told


# ---------------------------------------------------------------- without root


@pytest.fixture
def nobodys(mydocker: Launcher, sandbox: Sandbox, name: str) -> int:
    """The pid of a container that nobody, without any privilege, has made."""
    test = ["test", "-r", str(sandbox.steps / "layers.py")]
    if subprocess.run(test, check=False, **WITHOUT_ROOT).returncode != 0:
        pytest.skip("the steps are in a folder that only root may read")
    started: Popen[str] = mydocker.start(1, "run", "-h", name, "sleep", "60", **WITHOUT_ROOT)
    return mydocker.inside(started, "sleep")


def test_without_root_ones_own_container(mydocker: Launcher, nobodys: int, name: str) -> None:
    script = "uname -n; id -u; cat /proc/1/comm; exit 51"
    done = mydocker(1, "enter", str(nobodys), "sh", "-c", script, code=51, **WITHOUT_ROOT)
    assert done.stdout == f"{name}\n0\nsleep\n"


def test_root_may_enter_it_too(mydocker: Launcher, nobodys: int, name: str) -> None:
    done = mydocker(1, "enter", str(nobodys), "sh", "-c", "uname -n; id -u")
    assert done.stdout == f"{name}\n0\n"


def test_without_root_not_roots(mydocker: Launcher, nobodys: int, target: int) -> None:
    refused = mydocker(1, "enter", str(target), "true", code=125, **WITHOUT_ROOT)
    assert "permission denied" in refused.stderr
    assert "use sudo" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


# ---------------------------------------------------------------- nothing to enter


def gone() -> int:
    """A pid that was a process's and is no more."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


@pytest.mark.parametrize("command", ["enter", "inspect"])
def test_no_such_process(mydocker: Launcher, command: str) -> None:
    rest = ["true"] if command == "enter" else []
    refused = mydocker(1, command, str(gone()), *rest, code=125)
    assert "no such process" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["enter", "inspect"])
def test_a_zombie(mydocker: Launcher, command: str) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    rest = ["true"] if command == "enter" else []
    refused = mydocker(1, command, str(child), *rest, code=125)
    os.waitpid(child, 0)
    assert "it has ended" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("pid", ["x", "0", "-1", "1.5", "99999999999999999999"])
@pytest.mark.parametrize("command", ["enter", "inspect"])
def test_what_is_no_pid(mydocker: Launcher, command: str, pid: str) -> None:
    rest = ["true"] if command == "enter" else []
    refused = mydocker(1, command, "--", pid, *rest, code=125)
    assert refused.stderr.startswith("mydocker: ")
    assert len(refused.stderr.splitlines()) == 1


def test_where_we_are_already(mydocker: Launcher) -> None:
    refused = mydocker(1, "enter", str(os.getpid()), "true", code=125)
    assert "nothing to enter" in refused.stderr
    assert Path(f"/proc/{os.getpid()}").exists()
