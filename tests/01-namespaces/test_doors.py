"""Doors that only later steps go through: what each does is looked at by other means."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mydocker.kernel import syscalls
from mydocker.kernel.errors import KernelError

pytestmark = pytest.mark.root


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Path]:
    """A mount with another one in it."""
    syscalls.mount("none", str(tmp_path), "tmpfs", 0)
    (tmp_path / "inner").mkdir()
    syscalls.mount("none", str(tmp_path / "inner"), "tmpfs", 0)
    yield tmp_path
    syscalls.umount2(str(tmp_path / "inner"))
    syscalls.umount2(str(tmp_path))


def writable(*paths: Path) -> list[bool]:
    return [not os.statvfs(path).f_flag & os.ST_RDONLY for path in paths]


@pytest.mark.parametrize(("flags", "inner"), [(0, True), (syscalls.AT_RECURSIVE, False)])
def test_a_mount_becomes_read_only(mounts: Path, flags: int, inner: bool) -> None:
    """By mount_setattr(2): alone, or with all that is mounted below it."""
    assert writable(mounts, mounts / "inner") == [True, True]
    syscalls.mount_setattr(str(mounts), flags, syscalls.MOUNT_ATTR_RDONLY)
    assert writable(mounts, mounts / "inner") == [False, inner]
    with pytest.raises(OSError, match="Read-only"):
        (mounts / "file").touch()


def test_what_is_no_mount_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="mount_setattr"):
        syscalls.mount_setattr(str(tmp_path), 0, syscalls.MOUNT_ATTR_RDONLY)
