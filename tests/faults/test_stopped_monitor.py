"""A monitor that somebody stopped, or that a debugger holds: no command waits for it for ever."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from sandbox.containers import Containers
from sandbox.launcher import Launcher, eventually

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")


def monitor_of(docker: Containers, name: str) -> psutil.Process:
    found = psutil.Process(docker.pid(name)).parent()
    assert found is not None
    eventually(lambda: "import slim" in " ".join(found.cmdline()), what="a slim monitor")
    return found


def stop(docker: Containers, name: str) -> psutil.Process:
    found = monitor_of(docker, name)
    found.send_signal(signal.SIGSTOP)
    eventually(lambda: found.status() == psutil.STATUS_STOPPED)
    return found


@pytest.mark.parametrize("words", ["stop -t 0", "kill", "restart -t 0", "rm -f"])
def test_what_ends_a_container(docker: Containers, words: str) -> None:
    docker.run("--name", "one", *SLEEP)
    pid = docker.pid("one")
    monitor = stop(docker, "one")
    docker(*words.split(), "one")
    assert not psutil.pid_exists(pid)
    status = docker("ps", "-a", "--format", "{{.State}}").stdout.strip()
    assert status == {"rm": "", "restart": "running"}.get(words.split()[0], "exited")
    if status == "exited":  # told by the monitor itself, which went on
        assert docker.get("one", "{{.State.ExitCode}} {{.State.Error}}") == "137 "
    eventually(lambda: not monitor.is_running() or monitor.status() == psutil.STATUS_ZOMBIE)


def test_wait_and_logs_hear_of_the_end(docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "sh", "-c", "echo said; exec sleep 1000")
    pid = docker.pid("one")
    monitor = monitor_of(docker, "one")
    waiting = docker.start("wait", "one")
    following = docker.start("logs", "-f", "one")
    assert following.stdout and following.stdout.readline() == "said\n"
    monitor.send_signal(signal.SIGSTOP)
    psutil.Process(pid).kill()
    assert waiting.wait(30) == 0 and waiting.stdout and waiting.stdout.read() == "137\n"
    assert following.wait(30) == 0


def test_who_is_attached_can_end_it(docker: Containers) -> None:
    trap = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    docker.run("--name", "one", "busybox", "sh", "-c", trap)
    eventually(lambda: docker("logs", "one").stdout == "ready\n")
    attached = docker.start("attach", "one")
    monitor = monitor_of(docker, "one")
    monitor.send_signal(signal.SIGSTOP)
    eventually(lambda: b"SigCgt" in Path(f"/proc/{attached.pid}/status").read_bytes()
               and catches(attached.pid, signal.SIGTERM))  # fmt: skip
    attached.send_signal(signal.SIGTERM)
    assert attached.wait(30) == 7


def catches(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (mask,) = [line.split()[1] for line in lines if line.startswith("SigCgt")]
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("words", ["stop -t 0", "rm -f"])
def test_one_that_a_debugger_holds(docker: Containers, mydocker: Launcher, words: str) -> None:
    """It does not hear SIGCONT: others end it, and clean up."""
    docker.run("--name", "one", *SLEEP)
    monitor = monitor_of(docker, "one")
    slow = "inject=poll:delay_exit=600000000"
    command = ["strace", "-qq", "-p", str(monitor.pid), "-e", "trace=poll", "-e", slow]
    tracer = mydocker.adopt(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    eventually(lambda: "TracerPid:\t0" not in Path(f"/proc/{monitor.pid}/status").read_text())
    docker(*words.split(), "one")
    tracer.kill()
    status = docker("ps", "-a", "--format", "{{.State}}").stdout.strip()
    assert status == ("" if words == "rm -f" else "exited")
