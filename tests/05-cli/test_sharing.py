"""``--pid``, ``--ipc``, ``--uts``: whose namespaces a container is in, read from outside."""

import os
from pathlib import Path

import pytest
from sandbox.launcher import Launcher

pytestmark = pytest.mark.root


def start(mydocker: Launcher, name: str, *options: str) -> int:
    """The host's pid of a container that sleeps."""
    mydocker(5, "run", "-d", "--name", name, *options, "busybox", "sleep", "1000")
    return int(mydocker(5, "inspect", "-f", "{{.State.Pid}}", name).stdout)


def same(kind: str, one: int | str, other: int | str) -> bool:
    return os.readlink(f"/proc/{one}/ns/{kind}") == os.readlink(f"/proc/{other}/ns/{kind}")


def test_with_another_container(mydocker: Launcher) -> None:
    try:
        first = start(mydocker, "first")
        modes = ["--pid", "container:first", "--ipc", "container:first"]
        second, third = start(mydocker, "second", *modes), start(mydocker, "third")
        for kind, shared in {"pid": True, "ipc": True, "net": False, "uts": False}.items():
            assert same(kind, first, second) == shared, kind
            assert not same(kind, first, third)
        inside = mydocker(5, "exec", "first", "ps", "-o", "pid,args").stdout
        assert inside.count("sleep 1000") == 2
        # what one puts into POSIX shared memory the other finds, and the third does not
        word = os.urandom(8).hex()
        mydocker(5, "exec", "first", "sh", "-c", f"echo {word} > /dev/shm/word")
        assert mydocker(5, "exec", "second", "cat", "/dev/shm/word").stdout == f"{word}\n"
        mydocker(5, "exec", "third", "cat", "/dev/shm/word", code=1)
        # the namespace ends with its PID 1, and all in it do
        mydocker(5, "rm", "-f", "first")
        assert mydocker(5, "wait", "second").stdout == "137\n"
    finally:
        mydocker(5, "rm", "-f", "first", "second", "third", code=None)


def test_with_the_host(mydocker: Launcher, tmp_path: Path) -> None:
    modes = ["--pid", "host", "--ipc", "host", "--uts", "host"]
    try:
        pid = start(mydocker, "guest", *modes)
        assert all(same(kind, pid, "self") for kind in ("pid", "ipc", "uts"))
        assert not same("net", pid, "self")
        marks = {os.stat(path).st_dev for path in ("/dev/shm", f"/proc/{pid}/root/dev/shm")}
        assert len(marks) == 1
        form = "{{.HostConfig.PidMode}} {{.HostConfig.IpcMode}} {{.HostConfig.UTSMode}}"
        assert mydocker(5, "inspect", "-f", form, "guest").stdout == "host host host\n"
    finally:
        mydocker(5, "rm", "-f", "guest")


def test_our_own_children_stay_ours(mydocker: Launcher) -> None:
    """Whoever starts it joins for one child only: what is started after it is among the host's."""
    try:
        start(mydocker, "first")
        text = mydocker(
            5, "run", "--rm", "--explain", "--pid", "container:first", "busybox", "true"
        ).stderr
        joined, cloned, back = (
            text.index(word) for word in ('/ns/pid", CLONE', "clone3(", "self/ns/pid")
        )
        assert joined < cloned < back
    finally:
        mydocker(5, "rm", "-f", "first")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pid", "nonsense"], "--pid nonsense: not a mode. Write host or container:NAME"),
        (["--pid", "container:"], "--pid container:: not a mode"),
        (["--uts", "container:x"], "--uts container:x: not a mode. Write host"),
        (["--ipc", "container:nowhere"], "No such container: nowhere"),
        (["--uts", "host", "-h", "box"], "conflicting options: hostname and the UTS mode"),
    ],
)
def test_nonsense(mydocker: Launcher, options: list[str], said: str) -> None:
    assert said in mydocker(5, "run", "--rm", *options, "busybox", "true", code=125).stderr
