"""A workspace: whoever works has it to himself, and a clean-up takes none but a dead one's."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from mydocker.kernel.errors import Failure, KernelError
from mydocker.overlay2 import workspace


def test_it_is_there_for_the_length_of_the_block(tmp_path: Path) -> None:
    with workspace.workspace(str(tmp_path)) as path:
        Path(path, "half").write_text("done")
        assert workspace.leftovers(str(tmp_path)) == workspace.remove_leftovers(str(tmp_path)) == []
        assert os.listdir(path) == ["half"]
    assert os.listdir(tmp_path / "tmp") == []


def test_a_clean_up_between_its_making_and_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that nobody has locked looks like a dead one's: then another is made."""
    removed: list[str] = []

    def late(fd: int, operation: int) -> None:
        if not removed:
            path = os.readlink(f"/proc/self/fd/{fd}")
            os.rmdir(path)
            removed.append(path)
        fcntl.flock(fd, operation)

    monkeypatch.setattr(workspace, "flock", late)
    with workspace.workspace(str(tmp_path)) as path:
        assert path not in removed and os.path.isdir(path)


def test_one_that_another_holds_is_no_leftover(tmp_path: Path) -> None:
    dead, alive = (tmp_path / "tmp" / name for name in ("dead", "alive"))
    for one in (dead, alive):
        one.mkdir(parents=True)
        (one / "file").touch()
    fd = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert workspace.leftovers(str(tmp_path)) == [str(dead)]
        assert workspace.remove_leftovers(str(tmp_path)) == [str(dead)]
    finally:
        os.close(fd)
    assert os.listdir(tmp_path / "tmp") == ["alive"]


@pytest.mark.parametrize("kind", ["OSError", "KernelError"])
def test_an_error_in_a_store_names_the_place_the_reason_and_what_to_do(kind: str) -> None:
    """Whether it came through a door, which knows the call, or from a library."""
    for number, reason, hint in (
        (errno.ENOSPC, "No space left on device", "The disk is full"),
        (errno.EROFS, "Read-only file system", "Name another place with --root"),
        (errno.EACCES, "Permission denied", "use sudo"),
    ):
        own = OSError(number, os.strerror(number))
        error = own if kind == "OSError" else KernelError("mkdir", ("/the/store/x",), number)
        with pytest.raises(Failure) as caught, workspace.explained("/the/store"):
            raise error
        assert "/the/store" in str(caught.value)
        assert reason in str(caught.value) and hint in caught.value.hint
