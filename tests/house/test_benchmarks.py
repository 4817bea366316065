"""The benchmarks leave nothing behind and end in one line, whatever happens in them.

The contract of these tests (``sandbox/contract.py``) looks at processes, mounts and links.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox.patience import patience

from house.programs import ROOT, run

pytestmark = pytest.mark.root

BENCHMARKS = ROOT / "benchmarks"
GROUPS = Path("/sys/fs/cgroup")
# Something in a control group of its own, that does not end by itself and tells its place
BEGIN = """
import os, pathlib, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from private import in_private_place

def work(place):
    top = pathlib.Path("/sys/fs/cgroup")
    tree = top if (top / "cgroup.procs").exists() else top / "freezer"
    group = tree / place.name / "inner"
    group.mkdir(parents=True)
    idle = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    (group / "cgroup.procs").write_text(str(idle.pid))
    (place / "file").touch()
    print(place, group, flush=True)
"""
END = "\nin_private_place(work)\n"


def left(told: str) -> list[str]:
    """Which of the paths that a benchmark told are there."""
    paths = told.split()
    assert len(paths) == 2
    return [path for path in paths if os.path.exists(path)]


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("    print(1 / 0)", r"ZeroDivisionError: division by zero \(private.py, line \d+\)"),
        (
            "    subprocess.run(['sh', '-c', 'echo no >&2; exit 3'], check=True, "
            "capture_output=True, text=True)",
            "sh -c echo no >&2; exit 3: exit code 3 no",
        ),
        ("    raise SystemExit('too slow')", "too slow"),
    ],
)
def test_what_fails_is_one_line_and_leaves_nothing(fault: str, line: str) -> None:
    done = run(sys.executable, "-c", BEGIN + fault + END, BENCHMARKS)
    assert done.returncode == 1
    assert re.fullmatch(f"{line}\n", done.stderr), done.stderr
    assert left(done.stdout) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_finds_nothing_left(number: signal.Signals) -> None:
    command = [sys.executable, "-c", f"{BEGIN}    time.sleep(1000){END}", str(BENCHMARKS)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as benchmark:
        assert benchmark.stdout
        told = benchmark.stdout.readline()
        benchmark.send_signal(number)
        _, said = benchmark.communicate(timeout=patience(30))
    assert (benchmark.returncode, said) == (130, "")
    assert left(told) == []


def test_a_group_that_cannot_be_removed_is_one_line() -> None:
    busy = """
import private
private._PATIENCE = 0.1
real = os.rmdir
def refuse(path):
    raise OSError(16, "Device or resource busy") if path.endswith("/inner") else real(path)
os.rmdir = refuse
"""
    done = run(sys.executable, "-c", f"{BEGIN}{busy}{END}", BENCHMARKS)
    place, group = done.stdout.split()
    try:
        assert done.returncode == 1
        assert f"left behind: {group}: Device or resource busy\n" in done.stderr
        assert "Traceback" not in done.stderr and not os.path.exists(place)
    finally:
        os.rmdir(group)
        os.rmdir(os.path.dirname(group))


def test_two_checkouts_are_measured_side_by_side(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "steps").symlink_to(ROOT / "steps")
    done = run(
        sys.executable, BENCHMARKS / "run.py", "--against", other, "--only", "start",
        "--rounds", "1", "--json", tmp_path / "numbers",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{ROOT.name} ┃" in done.stdout and "other ┃" in done.stdout
    numbers = json.loads((tmp_path / "numbers").read_text())
    for row in ("step 01: main.py run true", "run, on a bridge", "exec", "ps"):
        assert set(numbers[row]) == {ROOT.name, "other"}
        assert all(numbers[row].values())


def test_podman_leaves_no_group_at_the_top() -> None:
    before = {path for form in ("*", "*/*") for path in GROUPS.glob(form)}
    done = run(
        sys.executable, BENCHMARKS / "run.py",
        "--peers", "podman", "--only", "start", "--rounds", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    after = {path for form in ("*", "*/*") for path in GROUPS.glob(form)}
    assert {path.name for path in after - before} & {"libpod_parent", "conmon"} == set()
