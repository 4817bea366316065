"""A data root that is full, read-only or no directory at all: one line, and nothing half done."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox.containers import Containers
from sandbox.launcher import Launcher, eventually

from mydocker.engine.monitor.logfile import Log
from mydocker.kernel import syscalls
from mydocker.network.store import Store

pytestmark = pytest.mark.root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Two MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    syscalls.mount("tmpfs", str(path), "tmpfs", 0, "size=2m")
    yield path
    syscalls.umount2(str(path))


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk never gets full")


def test_a_log_on_a_full_disk_says_what_it_lost(disk: Path) -> None:
    log = Log(str(disk / "log"))
    log.add("stdout", b"first\n")
    filler = fill(disk)
    for number in range(30_000):  # three MiB of entries, most of which nobody can keep
        log.add("stdout", b"%d %s\n" % (number, b"y" * (number % 40)))
    filler.unlink()
    log.add("stderr", b"last, without an end")
    log.finish()
    entries = [json.loads(line) for line in (disk / "log").read_bytes().splitlines()]
    said = [entry["log"] for entry in entries]
    assert said[0] == "first\n" and said[-1] == "last, without an end"
    (notice,) = [text for text in said if text.startswith("mydocker: ")]
    (lost,) = re.findall(r"mydocker: (\d+) entries were lost here: the disk was full\n", notice)
    numbers = [int(text.split()[0]) for text in said if text[0].isdecimal()]
    assert len(numbers) + int(lost) == 30_000 and numbers == sorted(numbers)
    assert numbers[-1] == 29_999 and len(numbers) > 5000


def test_a_network_on_a_full_disk(disk: Path, mydocker: Launcher) -> None:
    root = {"MYDOCKER_ROOT": str(disk)}
    mydocker(5, "network", "create", "one", env=root)
    before = sorted(os.listdir(disk / "network"))
    filler = fill(disk)
    done = mydocker(5, "network", "create", "two", code=None, env=root)
    assert done.returncode and done.stderr.count("\n") == 1 and "No space left" in done.stderr
    assert sorted(os.listdir(disk / "network")) == before
    filler.unlink()
    assert [n.name for n in Store(str(disk), os.environ["MYDOCKER_RUN"]).networks()] == ["one"]
    mydocker(5, "network", "rm", "one", env=root)


def test_a_read_only_data_root(tmp_path: Path, mydocker: Launcher) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "x", disk], check=True)
    root = {"MYDOCKER_ROOT": str(disk)}
    try:
        docker = Containers(mydocker)
        mydocker(5, "create", "--name", "box", "--net", "none", "busybox", "true", env=root)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for line in ("start box", "run busybox true", "rm box", "rmi busybox", "tag busybox x",
                     "commit box", "volume create vol"):  # fmt: skip
            words = line.split()
            done = docker(*words, code=None, env=root)
            assert done.returncode and done.stderr.count("\n") == 1, words
            assert "Errno" not in done.stderr and "Read-only file system" in done.stderr, words
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("words", [["images"], ["ps"], ["run", "busybox"], ["volume", "ls"]])
def test_a_data_root_that_is_no_directory(mydocker: Launcher, words: list[str]) -> None:
    done = mydocker(5, *words, code=None, env={"MYDOCKER_ROOT": "/dev/null"})
    assert done.returncode and done.stderr.count("\n") == 1
    assert "/dev/null" in done.stderr and "ot a directory" in done.stderr
    assert "Error" not in done.stderr and "damaged" not in done.stderr


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for an image and what a container writes, and no more."""
    path = tmp_path / "disk"
    path.mkdir()
    syscalls.mount("tmpfs", str(path), "tmpfs", 0, "size=24m")
    yield path
    syscalls.umount2(str(path))


@pytest.mark.parametrize(
    "lines",
    [
        ["stop -t 0 box", "rm box"],
        ["kill box", "rm box"],
        ["rm -f box"],
        ["restart -t 0 box", "rm -f box"],
    ],
    ids=lambda lines: lines[0],
)
def test_a_container_that_filled_the_disk_can_be_ended(
    roomy: Path, mydocker: Launcher, lines: list[str]
) -> None:
    """Whatever cannot be written down: it ends, it goes, and what it took is free again."""
    root = {"MYDOCKER_ROOT": str(roomy)}
    fill_it = "cat /dev/zero > /full 2> /dev/null; exec sleep 1000"
    run = ("run", "-d", "--name", "box", "--net", "none", "busybox", "sh", "-c", fill_it)
    mydocker(5, *run, env=root)
    try:
        eventually(lambda: os.statvfs(roomy).f_bavail == 0)
        fill(roomy)
        for line in lines:
            done = mydocker(5, *line.split(), code=None, env=root)
            beginning = line.startswith("restart")  # it ends it; a start has to be written down
            assert done.returncode == beginning, (line, done.stderr)
            assert done.stderr.count("\n") <= 1 and "internal" not in done.stderr, line
            if line.startswith("rm"):
                (roomy / "filler").unlink()
        assert mydocker(5, "ps", "-aq", env=root).stdout == ""
        mydocker(5, "run", "--rm", "--net", "none", "busybox", "true", env=root)
    finally:
        mydocker(5, "rm", "-f", "box", env=root)


def test_pause_on_a_full_disk_is_refused_and_nothing_stands_still(
    roomy: Path, mydocker: Launcher
) -> None:
    root = {"MYDOCKER_ROOT": str(roomy)}
    run = ("run", "-d", "--name", "box", "--net", "none", "busybox", "sleep", "1000")
    mydocker(5, *run, env=root)
    try:
        filler = fill(roomy)
        done = mydocker(5, "pause", "box", code=1, env=root)
        assert "No space left" in done.stderr and done.stderr.count("\n") == 1
        assert mydocker(5, "exec", "box", "echo", "goes on", env=root).stdout == "goes on\n"
        filler.unlink()
        mydocker(5, "pause", "box", env=root)
        filler = fill(roomy)
        done = mydocker(5, "unpause", "box", env=root)
        assert "not written down" in done.stderr and done.stderr.count("\n") == 1
        assert mydocker(5, "exec", "box", "echo", "goes on", env=root).stdout == "goes on\n"
        filler.unlink()
    finally:
        mydocker(5, "rm", "-f", "box", env=root)
