"""Paths that somebody else can change: where a lookup ends, and what is held."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mydocker.kernel import beneath
from mydocker.kernel.errors import KernelError


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A root with a way out of each kind."""
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").write_text("inside")
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("inside")
    (root / "absolute").symlink_to("/etc")
    (root / "up").symlink_to("../" * 30 + "etc")
    (root / "magic").symlink_to("/proc/self/root/etc")
    (root / "to-file").symlink_to("a/file")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture
def fd(top: Path) -> Iterator[int]:
    opened = os.open(top, os.O_PATH)
    yield opened
    os.close(opened)


@pytest.mark.parametrize(
    "name", ["absolute/passwd", "up/passwd", "../../etc/passwd", "/etc/passwd"]
)
def test_a_path_ends_inside(fd: int, name: str) -> None:
    with open(beneath.find(fd, name, os.O_RDONLY)) as file:
        assert file.read() == "inside"


@pytest.mark.parametrize("name", ["absolute/passwd", "up", "to-file"])
def test_without_links_there_are_none(fd: int, name: str) -> None:
    with pytest.raises(KernelError, match="Too many levels"):
        beneath.find(fd, name, os.O_RDONLY, links=False)


def test_a_link_of_proc_leads_nowhere(top: Path) -> None:
    """Even if the root is the machine's own, with a /proc in it."""
    slash = os.open("/", os.O_PATH)
    try:
        for name in (f"/proc/self/fd/{slash}/etc", "/proc/self/root/etc", f"{top}/magic"):
            with pytest.raises(KernelError, match="Too many levels"):
                beneath.find(slash, name, os.O_PATH)
    finally:
        os.close(slash)


def test_a_tree_is_as_deep_as_it_wants(fd: int) -> None:
    here, name = os.dup(fd), b"d" * 200
    for _ in range(50):
        os.mkdir(name, dir_fd=here)
        here = exchanged(here, os.open(name, os.O_PATH, dir_fd=here))
    found = beneath.descend(fd, b"/".join([name] * 50))
    assert os.path.samestat(os.fstat(found), os.fstat(here))
    assert beneath.look(fd, b"/".join([name] * 50)) is not None
    assert beneath.look(fd, b"/".join([name] * 51)) is None
    os.close(found)
    os.close(here)


def exchanged(old: int, new: int) -> int:
    os.close(old)
    return new


@pytest.mark.parametrize("name", [b"absolute", b"absolute/x", b"to-file", b"a/file/x", b"a/gone"])
def test_descending_goes_through_directories_alone(fd: int, name: bytes) -> None:
    with pytest.raises(KernelError):
        beneath.descend(fd, name)


def test_looking_follows_nothing(fd: int, top: Path) -> None:
    seen = beneath.look(fd, b"absolute")
    assert seen is not None and stat.S_ISLNK(seen.st_mode)
    assert beneath.look(fd, b"absolute/passwd") is None
    assert beneath.look(fd, b"a/file") is not None
    with pytest.raises(OSError, match="Too many levels"):
        os.close(beneath.straight(f"{top}/absolute/passwd"))
    assert beneath.names(f"{top}/a") and "file" in beneath.names(f"{top}/a")


def test_what_was_made_is_looked_at(fd: int, top: Path) -> None:
    os.close(beneath.made(fd, "fifo", stat.S_IFIFO))
    os.close(beneath.made(fd, "absolute", stat.S_IFLNK))
    for name, kind in (("absolute", stat.S_IFIFO), ("fifo", stat.S_IFREG), ("gone", stat.S_IFIFO)):
        with pytest.raises(beneath.Exchanged, match=f"'{name}' was exchanged"):
            beneath.made(fd, name, kind)


@pytest.mark.root
def test_a_device_is_known_by_its_number(fd: int, top: Path) -> None:
    os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.close(beneath.made(fd, "null", stat.S_IFCHR, os.makedev(1, 3)))
    with pytest.raises(beneath.Exchanged):
        beneath.made(fd, "null", stat.S_IFCHR, os.makedev(1, 5))


def test_only_regular_files_are_opened(fd: int, top: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(beneath.path(fd, "socket"))
    with listener:
        for name in ("fifo", "to-file", "a", "socket"):  # a FIFO would wait for its other end
            with pytest.raises(OSError, match="Stale"):
                beneath.open_file(fd, name)
    with open(beneath.open_file(beneath.find(fd, "a", os.O_PATH), "file")) as file:
        assert file.read() == "inside"
