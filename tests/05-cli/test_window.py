"""Whatever a command waits for, a signal ends it, also one that comes just before the wait."""

import fcntl
import os
import signal
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sandbox.containers import Containers
from sandbox.launcher import Started, eventually
from sandbox.windows import Windows, heard

pytestmark = pytest.mark.root

TRAP = "trap 'exit 43' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def windows(docker: Containers) -> Windows:
    return Windows(docker.launcher)


@contextmanager
def held(path: str) -> Iterator[None]:
    """Hold the lock that is on a file or directory."""
    fd = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def ready(started: Started) -> None:
    assert started.stdout and started.stdout.readline() == "ready\n"


# ---------------------------------------------------------------- signals for the command


def test_run(windows: Windows) -> None:
    started = windows.start(5, "run", "--rm", "--net", "none", "busybox", "sh", "-c", TRAP)
    ready(started)
    assert heard(started, signal.SIGTERM) == 43


def test_exec(windows: Windows, docker: Containers) -> None:
    name = docker.run("busybox", "sleep", "1000")
    started = windows.start(5, "exec", name, "sh", "-c", TRAP)
    ready(started)
    assert heard(started, signal.SIGTERM) == 43


def test_run_while_nobody_reads_what_it_says(windows: Windows, docker: Containers) -> None:
    started = windows.start(5, "run", "--init", "--name", "one", "--net", "none", "busybox", "yes")
    eventually(lambda: docker("ps", "-q").stdout)
    full(started)
    started.send_signal(signal.SIGTERM)
    docker.until("one", "{{.State.Status}} {{.State.ExitCode}}", "exited 143")


def test_a_monitor_outlives_an_input_that_was_closed(docker: Containers) -> None:
    words = "exec <&-; echo ready; while [ ! -e /go ]; do sleep 0.05; done; exit 44"
    name = docker.run("-i", "busybox", "sh", "-c", words)
    eventually(lambda: "ready" in docker("logs", name).stdout)
    started = docker.start("attach", name)
    assert started.stdin
    started.stdin.write("who reads this?\n")
    started.stdin.flush()
    eventually(lambda: docker.get(name, "{{.State.Running}}") == "true")
    docker("exec", name, "touch", "/go")
    assert started.wait(20) == 44


def test_output_goes_on_while_no_input_is_read(windows: Windows) -> None:
    reader, writer = os.pipe()
    talking = "echo ready; while :; do sleep 0.02; echo more; done"
    words = ("run", "--rm", "-i", "--net", "none", "busybox", "sh", "-c", talking)
    started = windows.start(5, *words, stdin=reader)
    os.close(reader)
    ready(started)
    os.set_blocking(writer, False)
    eventually(lambda: stuck(writer), what="a program that does not read on")
    assert started.stdout
    pipe, said = started.stdout.fileno(), [b""]
    os.set_blocking(pipe, False)

    def goes_on() -> bool:
        said.append(os.read(pipe, 1 << 16))
        return len(b"".join(said).split()) > 200

    eventually(goes_on, what="what it says")
    os.close(writer)


def stuck(writer: int) -> bool:
    """True if a pipe is full, and stays so."""
    for _ in range(20):
        try:
            os.write(writer, bytes(1 << 16))
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return False
    return True


def full(started: Started) -> None:
    """Wait until the pipe of its output takes no more."""
    assert started.stdout
    pipe, seen = started.stdout.fileno(), [-1]

    def same() -> bool:
        size = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
        number = int.from_bytes(size, "little")
        seen.append(number)
        return len(seen) > 20 and number > 60000 and set(seen[-20:]) == {number}

    eventually(same, what="a full pipe")


# ---------------------------------------------------------------- Ctrl-C


FOLLOWING = ["wait", "stop -t -1", "logs -f", "stats", "attach --no-sig-proxy"]


@pytest.mark.parametrize("words", FOLLOWING)
def test_what_follows_a_container(windows: Windows, docker: Containers, words: str) -> None:
    name = docker.run("busybox", "sleep", "1000")
    started = windows.start(5, *words.split(), name)
    assert heard(started, signal.SIGINT) == 130


def test_events(windows: Windows) -> None:
    assert heard(windows.start(5, "events"), signal.SIGINT) == 130


def test_what_asks(windows: Windows) -> None:
    assert heard(windows.start(5, "container", "prune"), signal.SIGINT) == 130


@pytest.mark.parametrize("words", [["load"], ["import", "-", "one"]], ids=" ".join)
def test_an_archive_that_does_not_come(windows: Windows, words: list[str]) -> None:
    assert heard(windows.start(5, *words), signal.SIGINT) == 130


def test_a_copy_that_does_not_come(windows: Windows, docker: Containers) -> None:
    name = docker.run("busybox", "sleep", "1000")
    assert heard(windows.start(5, "cp", "-", f"{name}:/tmp"), signal.SIGINT) == 130


# Who waits for which lock
LOCKS = {
    "{root}/containers/{id}": "rename one two",
    "{root}/containers/names": "create --net none busybox",
    "{root}/image/lock": "tag busybox again",
    "{root}/volumes": "volume rm some",
    "{run}/network/lock": "network create blue",
}


@pytest.mark.parametrize("path", LOCKS)
def test_a_lock(windows: Windows, docker: Containers, path: str) -> None:
    name = docker("create", "--name", "one", "--net", "none", "busybox").stdout.strip()
    docker("volume", "create", "some")
    os.makedirs(f"{os.environ['MYDOCKER_RUN']}/network", exist_ok=True)
    root, run = os.environ["MYDOCKER_ROOT"], os.environ["MYDOCKER_RUN"]
    with held(path.format(root=root, run=run, id=name)):
        assert heard(windows.start(5, *LOCKS[path].split()), signal.SIGINT) == 130
    docker("volume", "rm", "some")


def test_the_lock_of_prune(windows: Windows, docker: Containers) -> None:
    docker("system", "prune", "-f")
    with held(os.environ["MYDOCKER_RUN"]):
        assert heard(windows.start(5, "system", "prune", "-f"), signal.SIGINT) == 130
