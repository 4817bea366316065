"""Starting up is part of the product: what `run` does not need, it does not import.

Names of modules are compared, as `-X importtime` tells them, and never times.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from house.programs import ROOT, STEPS, run

RUN = {
    1: ["run", "true"],
    2: ["run", "true"],
    3: ["run", "busybox", "true"],
    4: ["run", "--net", "none", "busybox", "true"],
    5: ["run", "--rm", "--net", "none", "busybox", "true"],
}
RUNTIME = STEPS / "08-runtime/main.py"  # has its own command line: tests/08-runtime/test_startup.py
MAINS = sorted({*STEPS.glob("[0-9][0-9]-*/main.py")} - {RUNTIME})

# Each of these costs milliseconds, and has no business between a command line and execve.
UNWANTED = {
    "ast",
    "asyncio",
    "concurrent.futures",
    "copy",
    "ctypes.util",
    "dataclasses",
    "datetime",
    "dis",
    "email",
    "gettext",
    "http",
    "importlib.metadata",
    "importlib.resources",
    "inspect",
    "locale",
    "logging",
    "multiprocessing",
    "pathlib",
    "platform",
    "psutil",
    "random",
    "rich",
    "shutil",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "tarfile",
    "tempfile",
    "threading",
    "tokenize",
    "tomllib",
    "unittest",
    "urllib.request",
    "uuid",
    "xml",
}


def imported(text: str) -> set[str]:
    """The modules in what `-X importtime` writes: `import time:  self [us] | cumulative | name`."""
    lines = [line for line in text.splitlines() if line.startswith("import time:")]
    return {line.split("|")[2].strip() for line in lines[1:]}


def unwanted(modules: set[str]) -> set[str]:
    return {m for m in modules if any(f"{m}.".startswith(f"{name}.") for name in UNWANTED)}


def test_the_measurement_sees_an_import() -> None:
    done = run(sys.executable, "-S", "-X", "importtime", "-c", "import tempfile, xml.dom")
    assert unwanted(imported(done.stderr)) >= {"tempfile", "shutil", "xml", "xml.dom"}


@pytest.mark.skipif(os.geteuid() != 0, reason="starts containers, as root")
@pytest.mark.parametrize("main", MAINS, ids=lambda path: path.parent.name)
def test_run_imports_nothing_that_it_does_not_need(main: os.PathLike[str]) -> None:
    path = os.fspath(main)
    command = [path, *RUN[int(path.split("/")[-2][:2])]]
    env = {"MYDOCKER_VENV": sys.prefix}
    first = run(sys.executable, "-E", "-s", "-S", *command, env=env)  # makes what is made only once
    assert first.returncode == 0, first.stderr
    done = run(sys.executable, "-E", "-s", "-S", "-X", "importtime", *command, env=env)
    assert done.returncode == 0, done.stderr
    modules = imported(done.stderr)
    assert "mydocker.container" in modules, "this did not run a container"
    assert not unwanted(modules)


@pytest.mark.skipif(os.geteuid() != 0, reason="starts containers, as root")
@pytest.mark.parametrize("main", MAINS, ids=lambda path: path.parent.name)
def test_without_what_makes_it_fast_a_start_is_only_slower(main: Path, tmp_path: Path) -> None:
    """The file may be deleted. That more is imported then shows that it is gone indeed."""
    steps = tmp_path / "steps"
    shutil.copytree(STEPS, steps, ignore=shutil.ignore_patterns("__pycache__", "fast_start.py"))
    copy, number = steps / main.relative_to(STEPS), int(main.parent.name[:2])
    python, env = [sys.executable, "-E", "-s", "-S"], {"MYDOCKER_VENV": sys.prefix}
    done = run(*python, "-X", "importtime", copy, *RUN[number], env=env)
    assert done.returncode == 0, done.stderr
    modules = imported(done.stderr)
    assert {"mydocker.container", "inspect", "gettext"} <= modules
    assert run(*python, copy, "run", "--help", env=env).returncode == 0
    unknown = run(*python, copy, "runn", env=env)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
    assert not list(steps.glob("__pycache__/*.snapshot"))


STAND_INS = """
import sys
steps, = sys.argv[1:]
sys.path.insert(0, steps)
from layers import stack
stack(1)
import click.core, click.types, click.globals
early = {"inspect", "uuid", "datetime", "threading", "gettext"} & {*sys.modules}
assert not early, early
assert click.core.inspect.isfunction(stack), "from the real one, which is imported by asking"
assert click.core.inspect.cleandoc("a\\n  b\\n  c") == "a\\nb\\nc"
import datetime, gettext, inspect, threading, uuid
assert inspect.signature(stack) and gettext.find and threading.current_thread()
assert click.types.uuid.UUID is uuid.UUID and click.types.datetime is datetime.datetime
assert isinstance(click.globals._local, threading.local)
assert click.UUID.convert("00000000-0000-0000-0000-000000000001", None, None) == uuid.UUID(int=1)
assert click.DateTime().convert("2020-02-02", None, None) == datetime.datetime(2020, 2, 2)
"""


def test_what_stands_in_for_a_module_is_it_when_asked() -> None:
    python = [sys.executable, "-E", "-s", "-S", "-c", STAND_INS, os.fspath(STEPS)]
    done = run(*python, env={"MYDOCKER_VENV": sys.prefix})
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="starts containers, as root")
def test_what_each_trick_saves_can_be_measured() -> None:
    """The numbers of the book's appendix; here only that the benchmark still finds every trick."""
    done = run(sys.executable, ROOT / "benchmarks/tricks.py", "--rounds", "1", "--only", "05")
    assert done.returncode == 0, done.stderr
    rows = [line.partition("  ")[0] for line in done.stdout.splitlines()]
    assert rows[0] == "milliseconds" and len(rows) == 8, done.stdout
    assert {"as it is", "without records", "without fast_start.py"} <= set(rows)
