"""The life of a container: create, start, stop, kill, restart, pause, wait, rename, rm, update."""

import fcntl
import os
import re
from pathlib import Path

import pytest
from sandbox.containers import Containers
from sandbox.groups import Outside
from sandbox.launcher import eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")


def test_create_makes_and_start_runs(docker: Containers) -> None:
    created = docker("create", "--name", "one", "--net", "none", "busybox", "echo", "made").stdout
    assert re.fullmatch("[0-9a-f]{64}\n", created)
    assert docker.get("one", "{{.State.Status}} {{.State.Pid}}") == "created 0"
    assert docker("start", "one").stdout == "one\n"
    assert docker("wait", "one").stdout == "0\n"
    assert docker("logs", "one").stdout == "made\n"
    assert docker("start", "-a", "one").stdout == "made\n"
    assert docker("logs", "one").stdout == "made\nmade\n"


def test_without_root_it_is_one_line(docker: Containers) -> None:
    for command in (["run", "--rm", "busybox", "true"], ["system", "prune", "-f"]):
        refused = docker(*command, user=65534, code=125)
        assert re.fullmatch(r"mydocker: .*: Permission denied.*sudo\n", refused.stderr)


def test_rm_force_of_one_that_is_being_started(docker: Containers, sandbox: Sandbox) -> None:
    """Both wait for its lock, in this order: what rm saw before is not true any more."""
    identifier = docker("create", "--name", "one", "--net", "none", *SLEEP).stdout.strip()
    fd = os.open(sandbox.root / "containers" / identifier, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        inode = str(os.fstat(fd).st_ino)
        start = docker.start("start", "one")
        eventually(lambda: waiting(inode) == 1, what="start waits for the lock")
        rm = docker.start("rm", "-f", "one")
        eventually(lambda: waiting(inode) == 2, what="rm waits for the lock")
    finally:
        os.close(fd)
    assert (start.wait(20), rm.wait(20)) == (0, 0)
    assert docker("ps", "-aq").stdout == ""


def waiting(inode: str) -> int:
    """How many wait for the lock of this file (proc_locks(5))."""
    lines = Path("/proc/locks").read_text().splitlines()
    return sum("->" in line and line.split()[6].endswith(f":{inode}") for line in lines)


def test_start_of_one_that_runs_changes_nothing(docker: Containers) -> None:
    docker.run("--name", "one", *SLEEP)
    pid = docker.pid("one")
    assert docker("start", "one").stdout == "one\n"
    assert docker.pid("one") == pid


def test_its_files_are_kept_from_run_to_run(docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "sh", "-c", "echo x >> /file; cat /file")
    docker("wait", "one")
    docker("start", "one")
    docker("wait", "one")
    assert docker("logs", "one").stdout == "x\nx\nx\n"


def test_stop_asks_and_then_kills(docker: Containers) -> None:
    trap = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    docker.run("--name", "deaf", *SLEEP)  # PID 1 without a handler does not hear SIGTERM
    for name, seconds in (("polite", "20"), ("patient", "-1")):
        docker.run("--name", name, "busybox", "sh", "-c", trap)
        eventually(lambda name=name: docker("logs", name).stdout == "ready\n")  # type: ignore[misc]
        assert docker("stop", "-t", seconds, name).stdout == f"{name}\n"
        assert docker.get(name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 3", seconds
    docker("stop", "-t", "0", "deaf")
    assert docker.get("deaf", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    assert docker("stop", "deaf").stdout == "deaf\n"


def test_its_own_stop_signal_and_timeout(docker: Containers) -> None:
    trap = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    docker.run("--name", "one", "--stop-signal", "USR1", "busybox", "sh", "-c", trap)
    eventually(lambda: docker("logs", "one").stdout == "ready\n")
    docker("stop", "one")
    assert docker.get("one", "{{.State.ExitCode}} {{.Config.StopSignal}}") == "5 USR1"
    docker.run("--name", "two", "--stop-timeout", "0", *SLEEP)
    docker("stop", "two")
    assert docker.get("two", "{{.State.ExitCode}}") == "137"


def test_kill_and_other_signals(docker: Containers) -> None:
    trap = "trap 'echo got' HUP; echo ready; while :; do sleep 0.05; done"
    docker.run("--name", "one", "busybox", "sh", "-c", trap)
    eventually(lambda: docker("logs", "one").stdout == "ready\n")
    docker("kill", "-s", "HUP", "one")
    eventually(lambda: docker("logs", "one").stdout == "ready\ngot\n")
    assert docker("kill", "one").stdout == "one\n"
    assert docker.get("one", "{{.State.ExitCode}}") == "137"
    done = docker("kill", "one", code=1)
    assert re.search(
        "Cannot kill container: one: Container [0-9a-f]{64} is not running", done.stderr
    )
    assert "Invalid signal: NOSUCH" in docker("kill", "-s", "NOSUCH", "one", code=1).stderr


def test_restart_is_a_new_process(docker: Containers) -> None:
    docker.run("--name", "one", *SLEEP)
    before = docker.pid("one")
    docker("restart", "-t", "0", "one")
    assert docker.get("one", "{{.State.Status}}") == "running"
    assert docker.pid("one") != before
    docker("kill", "one")
    docker("restart", "one")
    assert docker.get("one", "{{.State.Status}}") == "running"


def test_pause_stops_it_where_it_is(docker: Containers) -> None:
    counts = "i=0; while :; do i=$((i+1)); echo $i > /n; done"
    docker.run("--name", "one", "busybox", "sh", "-c", counts)
    docker("pause", "one")
    assert docker.get("one", "{{.State.Status}} {{.State.Paused}}") == "paused true"
    assert "(Paused)" in docker("ps").stdout
    root = Path(f"/proc/{docker.pid('one')}/root/n")
    first = root.read_text()
    done = docker("exec", "one", "true", code=1)
    assert "is paused, unpause the container before exec" in done.stderr
    assert root.read_text() == first
    assert "is already paused" in docker("pause", "one", code=1).stderr
    docker("unpause", "one")
    eventually(lambda: root.read_text() not in (first, ""))
    assert "is not paused" in docker("unpause", "one", code=1).stderr


def test_one_that_is_paused_can_be_stopped(docker: Containers) -> None:
    trap = "trap 'exit 4' TERM; while :; do sleep 0.05; done"
    docker.run("--name", "one", "busybox", "sh", "-c", trap)
    docker("pause", "one")
    docker("stop", "-t", "20", "one")
    assert docker.get("one", "{{.State.Status}} {{.State.ExitCode}}") == "exited 4"


def test_wait_tells_exit_codes(docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "sh", "-c", "sleep 0.2; exit 6")
    docker.run("--name", "two", "busybox", "sh", "-c", "kill -9 $$; sleep 0.1; exit 7")
    assert docker("wait", "one", "two").stdout == "6\n7\n"
    done = docker("wait", "one", "nosuch", code=1)
    assert done.stdout == "6\n"
    assert done.stderr == "mydocker: No such container: nosuch\n"


def test_rm(docker: Containers) -> None:
    identifier = docker.run("--name", "one", *SLEEP)
    done = docker("rm", "one", code=1)
    assert f"You cannot remove a running container {identifier}" in done.stderr
    assert docker("rm", "-f", "one").stdout == "one\n"
    assert docker("ps", "-aq").stdout == ""
    root = Path(os.environ["MYDOCKER_ROOT"])
    assert not list(root.glob(f"*/{identifier}*"))
    assert "No such container: one" in docker("rm", "one", code=1).stderr
    assert "No such container: one" in docker("rm", "-f", "one", code=0).stderr


def test_rename_and_names(docker: Containers) -> None:
    identifier = docker.run("--name", "one", *SLEEP)
    docker("rename", "one", "two")
    assert docker("ps", "--format", "{{.Names}}").stdout == "two\n"
    docker.run("--name", "one", "busybox", "true")
    done = docker("rename", "one", "two", code=1)
    assert f'The container name "/two" is already in use by container "{identifier}"' in done.stderr
    done = docker("run", "--name", "two", "busybox", "true", code=125)
    assert "Conflict. The container name" in done.stderr
    for bad in ("-x", "a/b", "a b", "x"):
        done = docker("rename", "two", "--", bad, code=1)
        assert "Invalid container name" in done.stderr
    assert docker.get(identifier[:10], "{{.Name}}") == "/two"


def test_a_random_name(docker: Containers) -> None:
    docker.run("busybox", "true")
    assert re.fullmatch("[a-z]+_[a-z]+\n", docker("ps", "-a", "--format", "{{.Names}}").stdout)


def test_update_reaches_one_that_runs(docker: Containers) -> None:
    outside = Outside()
    docker.run("--name", "one", "-m", "100M", *SLEEP)
    pid = docker.pid("one")
    docker("update", "-m", "60M", "--memory-swap", "-1", "--restart", "always", "one")
    assert int(outside.read(pid, "memory.limit_in_bytes", "memory.max")) == 60 << 20
    shown = "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}"
    assert docker.get("one", shown) == f"{60 << 20} always"
    docker("restart", "-t", "0", "one")
    pid = docker.pid("one")
    assert int(outside.read(pid, "memory.limit_in_bytes", "memory.max")) == 60 << 20


def test_update_changes_what_is_named_and_nothing_else(docker: Containers) -> None:
    outside, shown = Outside(), "{{.HostConfig.CpuQuota}} {{.HostConfig.CpuPeriod}}"
    limits = ("--cpu-quota", "30000", "--cpu-period", "50000", "-m", "50M", "--memory-swap", "50M")
    docker.run("--name", "one", *limits, *SLEEP)
    docker("update", "--cpu-period", "60000", "-m", "40M", "one")
    pid = docker.pid("one")
    assert docker.get("one", shown) == "30000 60000"
    if outside.is_v1("cpu"):
        assert outside.read(pid, "cpu.cfs_quota_us", "") == "30000"
        assert outside.read(pid, "memory.memsw.limit_in_bytes", "") == str(50 << 20)
    else:
        assert outside.read(pid, "", "cpu.max") == "30000 60000"
        assert outside.read(pid, "", "memory.swap.max") == str(10 << 20)
    refused = docker("update", "-m", "60M", "one", code=1)
    assert "update the memoryswap at the same time" in refused.stderr
    docker("update", "-m", "0", "--cpu-quota", "0", "one")  # both are taken away
    assert docker.get("one", "{{.HostConfig.Memory}} " + shown) == "0 0 60000"
    limit = outside.read(pid, "memory.limit_in_bytes", "memory.max")
    assert limit == "max" or int(limit) > 1 << 60


@pytest.mark.parametrize(
    "command",
    ["start", "stop", "kill", "restart", "pause", "unpause", "wait", "rm", "logs", "port", "top",
     "diff", "attach", "update", "inspect"],
)  # fmt: skip
def test_a_container_that_is_not_there(docker: Containers, command: str) -> None:
    done = docker(command, "nosuch", code=1)
    assert re.fullmatch("mydocker: .*No such (container|object): nosuch\n", done.stderr)
