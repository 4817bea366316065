"""The monitor: small, independent of who started it, missed when it is killed; many at once."""

import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from sandbox.containers import Containers
from sandbox.groups import called
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")


def monitor(docker: Containers, name: str) -> psutil.Process:
    found = psutil.Process(psutil.Process(docker.pid(name)).ppid())
    eventually(lambda: "import slim" in " ".join(found.cmdline()), what="a slim monitor")
    eventually(lambda: not any("memfd" in name for name in opened(found.pid)))  # it has read all
    return found


def opened(pid: int) -> set[str]:
    return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}


def gone(pid: int) -> bool:
    """Gone, or a zombie that only has to be waited for."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_it_is_small_and_keeps_nothing_open(docker: Containers) -> None:
    docker.run("--name", "one", *SLEEP)
    found = monitor(docker, "one")
    rollup = Path(f"/proc/{found.pid}/smaps_rollup").read_text()
    own = re.search(r"^Pss_Anon:\s+(\d+) kB", rollup, re.MULTILINE)
    assert own and int(own[1]) < 4096, "the bare interpreter has 2.4 MB"
    assert {re.sub(r"[:\[].*", "", name) for name in opened(found.pid)} == {
        "/dev/null",
        "pipe",
        "socket",
        "anon_inode",
    }
    assert found.cwd() == "/"


def test_after_it_has_become_small_all_goes_on(docker: Containers) -> None:
    script = "while read line; do echo got $line; done; exit 9"
    docker.run("-i", "--name", "one", "-p", "8096:80", "busybox", "sh", "-c", script, net=True)
    started = docker.start("attach", "one")
    monitor(docker, "one")
    assert started.stdin and started.stdout
    started.stdin.write("x\n")
    started.stdin.flush()
    assert started.stdout.readline() == "got x\n"
    taken = docker("run", "-p", "8096:80", "busybox", "true", code=125)
    assert "8096" in taken.stderr
    started.stdin.close()
    assert started.wait(20) == 9
    assert docker("logs", "one").stdout == "got x\n"


def test_restarts_after_it_has_become_small(docker: Containers) -> None:
    docker.run("--name", "one", "--restart", "always", *SLEEP)
    before = monitor(docker, "one").pid
    docker("exec", "one", "kill", "-9", "1", code=None)
    os.kill(docker.pid("one"), signal.SIGKILL)
    docker.until("one", "{{.RestartCount}} {{.State.Status}}", "1 running")
    assert monitor(docker, "one").pid == before


def test_killed_it_takes_the_container_along_and_the_state_is_true(docker: Containers) -> None:
    docker.run("--name", "one", "-p", "8095:80", *SLEEP, net=True)
    pid, found = docker.pid("one"), monitor(docker, "one")
    found.kill()
    eventually(lambda: gone(pid))
    assert docker("ps", "-q").stdout == ""
    shown = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"
    assert docker.get("one", shown) == "exited 137 its monitor was killed"
    docker("start", "one")
    assert docker.get("one", "{{.State.Status}}") == "running"


def test_one_with_rm_goes_when_its_monitor_was_killed(docker: Containers) -> None:
    identifier = docker.run("--rm", "--name", "one", *SLEEP)
    monitor(docker, "one").kill()
    assert docker("ps", "-aq").stdout == ""
    assert identifier not in os.listdir(Path(os.environ["MYDOCKER_ROOT"]) / "overlay2")


@pytest.mark.parametrize("command", [["stop"], ["kill"], ["rm", "-f"], ["wait"], ["restart"]])
def test_commands_after_it_was_killed(docker: Containers, command: list[str]) -> None:
    docker.run("--name", "one", *SLEEP)
    monitor(docker, "one").kill()
    docker(*command, "one", code=None)
    status = docker("ps", "-a", "--format", "{{.State}}").stdout.strip()
    assert status == {"rm": "", "restart": "running"}.get(command[0], "exited")


def test_who_attached_hears_of_a_killed_monitor(docker: Containers) -> None:
    started = docker.start("run", "--name", "one", "--net", "none", *SLEEP)
    eventually(lambda: docker("ps", "-q").stdout != "")
    monitor(docker, "one").kill()
    assert started.wait(20) == 137
    assert started.stderr and "monitor" in started.stderr.read()


def test_many_at_once(docker: Containers) -> None:
    count = 24
    with ThreadPoolExecutor(8) as pool:
        names = [f"c{n:02}" for n in range(count)]
        ids = list(pool.map(lambda name: docker.run("--name", name, *SLEEP), names))
        assert len(set(ids)) == count
        assert set(docker("ps", "--format", "{{.Names}}").stdout.split()) == set(names)
        done = list(pool.map(lambda name: docker("rm", "-f", name), names))
    assert all(one.returncode == 0 for one in done)
    assert docker("ps", "-aq").stdout == ""
    root = Path(os.environ["MYDOCKER_ROOT"])
    assert [path.name for path in (root / "containers").iterdir()] == ["names"]
    assert not set(os.listdir(root / "overlay2")) & set(ids)


def test_one_name_many_who_want_it(docker: Containers) -> None:
    def one(_: int) -> int:
        arguments = ("run", "-d", "--name", "same", "--net", "none", *SLEEP)
        return docker(*arguments, code=None).returncode

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(one, range(6))) == [0] + [125] * 5
    assert docker("ps", "-a", "--format", "{{.Names}}").stdout == "same\n"


def test_a_monitor_that_ends_leaves_its_successor_alone(
    docker: Containers, mydocker: Launcher
) -> None:
    """It lets the lock go between writing the end down and its last words: others come first."""
    docker.run("--name", "one", *SLEEP)
    old = monitor(docker, "one")
    # strace holds it up where it asks for the lock again
    slow = "inject=flock:delay_enter=60000000:when=3+"  # the first of them, then that of the events
    command = ["strace", "-qq", "-p", str(old.pid), "-e", "trace=flock", "-e", slow]
    tracer = mydocker.adopt(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    eventually(lambda: "TracerPid:\t0" not in Path(f"/proc/{old.pid}/status").read_text())
    os.kill(docker.pid("one"), signal.SIGKILL)
    docker.until("one", "{{.State.Status}}", "exited")
    docker("start", "one")
    assert not gone(old.pid), "else nothing is tried here"
    tracer.kill()
    eventually(lambda: gone(old.pid))
    assert docker.get("one", "{{.State.Status}} {{.State.Error}}") == "running "
    assert docker("stop", "-t", "0", "one").stdout == "one\n"
    assert docker.get("one", "{{.State.Status}}") == "exited"


def test_opposite_commands_at_once_leave_a_true_state(docker: Containers) -> None:
    docker.run("--name", "one", *SLEEP)
    commands = [["stop", "-t", "0"], ["start"], ["restart", "-t", "0"], ["kill"], ["pause"]] * 3
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda command: docker(*command, "one", code=None), commands))
    status, pid = docker.get("one", "{{.State.Status}} {{.State.Pid}}").split()
    assert (status in ("running", "paused")) == psutil.pid_exists(int(pid) or 1 << 30)
    docker("rm", "-f", "one")
    assert docker("ps", "-aq").stdout == ""


@pytest.mark.parametrize("record", ["sound", "damaged"])
def test_small_it_knows_where_the_groups_are(
    docker: Containers, sandbox: Sandbox, record: str
) -> None:
    """``MYDOCKER_CGROUP_PARENT`` as the command had it: in the next start, and to find what is left
    of a container whose record cannot be read."""
    identifier = docker.run("--name", "one", "--restart", "always", *SLEEP)
    first = docker.pid("one")
    monitor(docker, "one")
    if record == "damaged":
        (sandbox.run / identifier / "state.json").write_bytes(b"")
        docker("stop", "-t", "0", "one")
        assert called(f"{sandbox.cgroup_parent}/{identifier}") == []
    else:
        os.kill(first, signal.SIGKILL)
        docker.until("one", "{{.RestartCount}} {{.State.Status}}", "1 running")
        groups = Path(f"/proc/{docker.pid('one')}/cgroup").read_text()
        assert f"/{sandbox.cgroup_parent}/{identifier}" in groups
