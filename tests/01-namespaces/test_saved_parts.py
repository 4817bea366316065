"""Parts on disk: what a run wrote is made again by another process, and nothing else is."""

import sys
from pathlib import Path
from typing import Any

import pytest

from mydocker.container.parts import Part, rebuilt, saved
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.namespaces.parts import HostName


@record
class Leaving(Part):
    """One that has something to undo."""

    path: str

    def release(self) -> None:
        Path(self.path).unlink()


def test_only_parts_that_leave_something_are_written() -> None:
    (told,) = saved([HostName("box"), Leaving("/x")])
    assert told == {"part": f"{__name__}:Leaving", "fields": {"path": "/x"}}


def test_a_part_of_ours_comes_back() -> None:
    state = {"part": "mydocker.namespaces.parts:HostName", "fields": {"name": "b", "domain": "d"}}
    assert rebuilt([state]) == [HostName("b", "d")]


@pytest.mark.parametrize(
    "name", ["evil:Evil", "mydockerevil:Evil", "os:system", "evil.mydocker.x:Evil", ":Evil"]
)
def test_no_module_but_ours_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Root reads these files: who could write one would have his code run by loading it alone."""
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w').close()\nfrom {Part.__module__} import Part as Evil\n"
    for path in ("evil.py", "mydockerevil.py"):
        (tmp_path / path).write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Failure, match="not one of mydocker's"):
        rebuilt([{"part": name, "fields": {}}])
    assert not mark.exists() and "evil" not in sys.modules


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mydocker.kernel.files:unlink", {"path": "VICTIM"}),
        ("mydocker.kernel.files:remove_tree", {"path": "VICTIM"}),
        ("mydocker.kernel.files:nosuch", {}),
        ("mydocker.nosuch:Part", {}),
        ("mydocker.container.process:Process", {"arguments": ["x"], "environment": {}}),
    ],
)
def test_what_is_no_part_is_not_called(tmp_path: Path, name: str, fields: dict[str, Any]) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    fields = {key: str(victim) if value == "VICTIM" else value for key, value in fields.items()}
    with pytest.raises(Failure, match="not a part"):
        rebuilt([{"part": name, "fields": fields}])
    assert victim.exists()
