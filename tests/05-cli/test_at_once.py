"""Many commands at once on one store: each waits for its turn, and what it did stays done."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root


def waiting(inode: int) -> int:
    """How many wait for the lock of this file (proc_locks(5))."""
    lines = Path("/proc/locks").read_text().splitlines()
    return sum("->" in line and line.split()[6].endswith(f":{inode}") for line in lines)


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Hold the lock of a file or directory; its inode."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield os.fstat(fd).st_ino
    finally:
        os.close(fd)


def test_each_of_many_tags_stays(docker: Containers) -> None:
    """They all change index.json: who reads it before another has written it forgets that one."""
    names = [f"many:{secrets.token_hex(4)}" for _ in range(24)]
    started = [docker.start("tag", "busybox", name) for name in names]
    assert [one.wait(60) for one in started] == [0] * len(started)
    form = "{{.Repository}}:{{.Tag}}"
    told = docker("images", "--format", form, "many").stdout.split()
    docker("rmi", *names)
    assert sorted(told) == sorted(names)


@pytest.mark.parametrize("command", ["tag busybox other", "rmi other", "commit box other"])
def test_who_changes_the_images_waits_for_others(
    docker: Containers, sandbox: Sandbox, command: str
) -> None:
    docker("tag", "busybox", "other")
    docker("create", "--name", "box", "busybox")
    with held(sandbox.root / "image/lock") as inode:
        started = docker.start(*command.split())
        eventually(lambda: waiting(inode) == 1, what=f"{command} waits for the lock")
    assert started.wait(20) == 0
    docker("rmi", "other", code=None)


@pytest.mark.parametrize(
    "command",
    ["volume rm data", "volume prune -af", "rm -v box", "create --name two -v data:/d busybox"],
)
def test_who_uses_or_removes_a_volume_waits_for_others(
    docker: Containers, sandbox: Sandbox, command: str
) -> None:
    """Else one is removed between a container's look whether it is there and its note."""
    docker("volume", "create", "data")
    docker("create", "--name", "box", "-v", "/x", "busybox")
    with held(sandbox.root / "volumes") as inode:
        started = docker.start(*command.split())
        eventually(lambda: waiting(inode) == 1, what=f"{command} waits for the lock")
    assert started.wait(20) == 0
    docker("rm", "-f", "box", "two")
    docker("volume", "prune", "-af")


def test_an_anonymous_volume_stays_while_another_container_uses_it(docker: Containers) -> None:
    """``rm -v`` and ``--rm`` take away what came with the container, unless it serves others."""
    docker("volume", "prune", "-af")
    docker("create", "--name", "first", "-v", "/x", "busybox")
    docker.run("--name", "guest", "--volumes-from", "first", "busybox", "sleep", "1000")
    docker("exec", "guest", "sh", "-c", "echo kept > /x/f")
    docker("rm", "-v", "first")
    assert docker("exec", "guest", "cat", "/x/f").stdout == "kept\n"
    assert len(docker("volume", "ls", "-q").stdout.split()) == 1
    docker.run("--rm", "--name", "host", "-v", "/y", "busybox", "sleep", "1000")
    docker.run("--name", "heir", "--volumes-from", "host", "busybox", "sleep", "1000")
    docker("kill", "host")
    eventually(lambda: "host" not in docker("ps", "-a", "--format", "{{.Names}}").stdout.split())
    docker("exec", "heir", "touch", "/y/f")
    assert len(docker("volume", "ls", "-q").stdout.split()) == 2
    docker("rm", "-f", "guest", "heir")
    docker("volume", "prune", "-af")
