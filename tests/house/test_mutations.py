"""The script that puts faults into the code: what it makes, where it looks, what it remembers."""

import shutil
import subprocess
from pathlib import Path

import pytest
from mutations import faults, generating
from mutations.faults import Fault, Lost

from house.programs import ROOT, STEPS, run

MODULE = """def double(number: int) -> int:
    return number * 2


def unused(number: int) -> int:
    return number + 1
"""
# In place of ./test: says what pytest would, for a step that does not double, or that hangs.
SUITE = """#!/bin/sh
file=steps/01-one/mydocker/one/sums.py
echo "$*" >>RUNS
case "$*" in
*--collect-only*) exit 0 ;;
*" tests/01-one/test_sums.py::test_flaky"*) exit 1 ;; # alone it fails, without the fault too
esac
echo "tests/01-one/test_sums.py::test_double"
if grep -q 'sleep' "$file"; then sleep 60; fi
if grep -q 'flaky' "$file"; then
    case "$*" in *--deselect=*) exit 0 ;; esac
    echo "FAILED tests/01-one/test_sums.py::test_flaky[a b] - assert 1 == 2"
    exit 1
fi
grep -q 'number \\* 2' "$file" && exit 0
echo "FAILED tests/01-one/test_sums.py::test_double - assert 1 == 2"
exit 1
"""
LIST = [
    Fault("wrong", "01-one/mydocker/one/sums.py", "number * 2", "number * 3"),
    Fault("moved", "01-one/mydocker/one/before.py", "number * 2", "number * 4"),
    Fault("idle", "01-one/mydocker/one/sums.py", "number + 1", "number + 2", "off by one"),
    Fault("chance", "01-one/mydocker/one/sums.py", "number + 1", "number + len('flaky')"),
    Fault("hangs", "01-one/mydocker/one/sums.py", "number + 1", "sleep(number)"),
    Fault("gone", "01-one/mydocker/one/sums.py", "number / 2", "number / 3"),
    Fault("same", "01-one/mydocker/one/sums.py", "+ 1", "- -1", "", "it is the same number"),
]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "tests/mutations", tmp_path / "tests/mutations")
    for name in ("results.jsonl", "faults.toml"):
        (tmp_path / "tests/mutations" / name).unlink(missing_ok=True)
    module = tmp_path / "steps/01-one/mydocker/one/sums.py"
    module.parent.mkdir(parents=True)
    module.write_text(MODULE)
    (tmp_path / "tests/01-one").mkdir()
    (tmp_path / "tests/01-one/test_sums.py").touch()
    (tmp_path / "tests/mutations/faults.toml").write_text(faults.written(LIST))
    (tmp_path / "test").write_text(SUITE.replace("RUNS", f"{tmp_path}/runs"))
    (tmp_path / "test").chmod(0o755)
    return tmp_path


def mutations(repository: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    done = run(repository / "tests/mutations/run", *words, cwd=repository)
    assert done.returncode == 0, done.stderr
    return done


def test_what_becomes_of_faults(repository: Path) -> None:
    told = mutations(repository, "--seconds", "1").stdout
    outcomes = {line.split()[0]: line.split()[1] for line in told.partition("\n\n")[0].splitlines()}
    assert outcomes == {
        "wrong": "seen", "moved": "seen", "idle": "lived", "chance": "lived", "hangs": "hung",
        "gone": "lost:",
    }  # fmt: skip
    assert "lived: idle (01-one/mydocker/one/sums.py: off by one)\n" in told
    assert "all            seen   3 (hung 1) of   5, lived 2\n" in told
    assert "equal in effect: 1; not tried: 1\n" in told
    assert (repository / "steps/01-one/mydocker/one/sums.py").read_text() == MODULE


def test_where_no_test_can_be_run_nothing_is_seen(repository: Path) -> None:
    (repository / "test").write_text("#!/bin/sh\necho INTERNALERROR\nexit 3\n")
    told = mutations(repository, "--only", "wrong").stdout
    assert told.split()[:2] == ["wrong", "unclear"]
    assert "not tried: 1\n" in mutations(repository, "--only", "wrong", "--report").stdout


def test_what_is_known_is_not_tried_again(repository: Path) -> None:
    first = mutations(repository, "--only", "wrong", "idle").stdout
    runs = (repository / "runs").read_text()
    again = mutations(repository, "--only", "wrong", "idle").stdout
    assert again.strip() == first.partition("\n\n")[2].strip()
    assert (repository / "runs").read_text() == runs
    mutations(repository, "--only", "idle", "--again")
    assert (repository / "runs").read_text() != runs
    assert "test_more" not in (repository / "runs").read_text()
    own = [
        Fault("idle", LIST[2].file, "number + 1", "number + 4", test="tests/02-two/test_more.py")
    ]
    (repository / "tests/mutations/faults.toml").write_text(faults.written(own))
    mutations(repository)
    assert "tests/02-two/test_more.py tests/01-one" in (repository / "runs").read_text()
    changed = [Fault("idle", LIST[2].file, "number + 1", "number + 3")]  # another fault now
    (repository / "tests/mutations/faults.toml").write_text(faults.written(changed))
    assert "idle " in mutations(repository).stdout.partition("\n\n")[0]


def test_faults_at_random_are_python_and_come_again(tmp_path: Path) -> None:
    made = list(generating.at_random(STEPS, 40, 7))
    assert made == list(generating.at_random(STEPS, 40, 7))
    assert len({fault.step for fault in made}) >= 4
    place = tmp_path / "steps"
    for fault in made:
        shutil.rmtree(place, ignore_errors=True)
        (place / fault.file).parent.mkdir(parents=True)
        shutil.copy(STEPS / fault.file, place / fault.file)
        faults.put_in(fault, place)
        assert (place / fault.file).read_text() != (STEPS / fault.file).read_text()
    path = tmp_path / "list.toml"
    path.write_text(faults.written(made))
    assert faults.read(path) == made


def test_a_text_that_is_there_twice_is_lost(tmp_path: Path) -> None:
    (tmp_path / "01-one").mkdir()
    (tmp_path / "01-one/a.py").write_text("x = 1\ny = 1\n")
    with pytest.raises(Lost, match="not once"):
        faults.located(Fault("f", "01-one/a.py", " = 1", " = 2"), tmp_path)


def test_each_fault_of_the_lists_is_in_its_file() -> None:
    stale = []
    for name in ("faults.toml", "once-lived.toml"):
        for fault in faults.read(ROOT / "tests/mutations" / name):
            path = faults.place(fault.file, STEPS)
            if fault.test and not (ROOT / fault.test).is_file():
                stale.append(f"{name}: {fault.name} ({fault.test})")
            if not path.is_file() or path.read_text().count(fault.old) != 1:
                stale.append(f"{name}: {fault.name} ({fault.file})")
            else:
                compile(path.read_text().replace(fault.old, fault.new), str(path), "exec")
    assert stale == []
