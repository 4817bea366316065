"""A command's modules in one file: used while it is true, and never in place of a newer source."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from house.programs import STEPS, run

# The imports of a run, and from where they came.
SHOW = """
import sys
steps = sys.argv.pop(1)
sys.path[0] = steps
from layers import stack
stack(1)
from mydocker.container import commandline
from mydocker.kernel import errors
print(errors.__spec__.loader.__name__ if isinstance(errors.__spec__.loader, type) else "python")
print(errors.__file__, getattr(errors, "CHANGED", 0))
"""


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    shutil.copytree(STEPS, tmp_path / "steps", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "steps"


def start(steps: Path) -> None:
    main = steps / "01-namespaces/main.py"
    python = [sys.executable, "-E", "-s", "-S"]
    done = run(*python, main, "run", "--help", env={"MYDOCKER_VENV": sys.prefix})
    assert (done.returncode, done.stderr) == (0, "")


def show(steps: Path, word: str = "run") -> list[str]:
    python = [sys.executable, "-E", "-s", "-S", "-c", SHOW, os.fspath(steps), word]
    done = run(*python, env={"MYDOCKER_VENV": sys.prefix})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def kept(steps: Path) -> list[Path]:
    return list((steps / "__pycache__").glob("*.snapshot*"))


def test_the_second_start_imports_from_one_file(steps: Path) -> None:
    errors = f"{steps}/01-namespaces/mydocker/kernel/errors.py"
    assert show(steps) == ["python", errors, "0"]
    start(steps)
    (file,) = kept(steps)
    assert show(steps) == ["_Finder", errors, "0"]
    assert show(steps, "another")[0] == "python"
    before = file.stat().st_ino
    start(steps)
    assert file.stat().st_ino == before, "written again without need"


def test_a_changed_source_counts_at_once(steps: Path) -> None:
    start(steps)
    errors = steps / "01-namespaces/mydocker/kernel/errors.py"
    with errors.open("a") as file:
        file.write("CHANGED = 7\n")
    assert show(steps) == ["python", str(errors), "7"]
    start(steps)
    assert show(steps) == ["_Finder", str(errors), "7"]


def test_a_copy_of_the_steps_imports_itself(steps: Path, tmp_path: Path) -> None:
    start(steps)
    copy = tmp_path / "copy"
    shutil.copytree(steps, copy, copy_function=shutil.copy2)
    assert show(copy)[0] == "python"
    assert show(copy)[1].startswith(f"{copy}/")


@pytest.mark.parametrize("length", [0, 1, 100, 4096, 500_000])
def test_half_a_file_is_none(steps: Path, length: int) -> None:
    start(steps)
    (file,) = kept(steps)
    os.truncate(file, length)
    assert show(steps)[0] == "python"
    start(steps)
    assert show(steps)[0] == "_Finder"
    assert kept(steps) == [file], "nothing else is left"


def test_where_it_cannot_be_written_nothing_is_said(steps: Path) -> None:
    (steps / "__pycache__").mkdir(exist_ok=True)
    shutil.rmtree(steps / "__pycache__")
    (steps / "__pycache__").touch()
    start(steps)
