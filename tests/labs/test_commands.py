"""``mydocker lab``: as a student, and as a teacher, uses it."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from labs.patches import ROOT
from sandbox.launcher import eventually
from sandbox.machine import Sandbox
from sandbox.patience import patience

pytestmark = pytest.mark.root

Done = subprocess.CompletedProcess[str]
PROGRAM = [sys.executable, "-ESs", str(ROOT / "steps/05-cli/main.py"), "lab"]
EASY = "2.2"  # its tests are quick
FILE = "steps/02-cgroups/mydocker/cgroups/hierarchy.py"


def lab(*arguments: str, cwd: Path, code: int = 0) -> Done:
    done = subprocess.run(
        [*PROGRAM, *arguments], cwd=cwd, capture_output=True, text=True, timeout=patience(120)
    )
    assert done.returncode == code, done.stdout + done.stderr
    if "--json" not in arguments:
        assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    return done


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A student's copy for lab 02, as it was cut."""
    lab("start", "02", cwd=tmp_path)
    return tmp_path / "lab-02"


def write(copy: Path, body: str, exercise: str = EASY) -> None:
    """Write ``body`` into an exercise, or with "ours" our solution."""
    from mydocker.labs import regions

    for path, text in regions.marked(str(copy / "steps")).items():
        ours = (ROOT / "steps" / path).read_text()
        theirs = {r.exercise: r.body for r in regions.find(ours)}
        new = regions.replaced(
            text,
            lambda r, theirs=theirs: (  # type: ignore[misc]
                r.body if r.exercise != exercise else theirs[exercise] if body == "ours" else body
            ),
        )
        (copy / "steps" / path).write_text(new)


def test_a_student_s_way(copy: Path) -> None:
    """Cut, fail, a hint, wrong, right, what next: with the exit codes and the words."""
    here = copy.parent
    assert "2.2" in lab("list", "2", cwd=here).stdout
    first = lab("check", EASY, cwd=here, code=1)
    assert "to do" in first.stdout and f"{copy.name}/{FILE}:" in first.stdout
    assert f"hint 1 of 2: {hints()[0][:30]}" in lab("hint", EASY, cwd=here).stdout
    second = " ".join(lab("hint", EASY, cwd=copy).stdout.split())
    assert "hint 1 of 2" in second and "hint 2 of 2" in second
    refused = lab("solution", EASY, cwd=copy, code=125)
    assert refused.stderr.count("\n") == 1 and "has not passed yet" in refused.stderr

    body = '    return dict(line.split(":")[1:] for line in text.splitlines())\n'
    write(copy, f"    print('I see', text.count('0::'), 'of v2')\n{body}")
    wrong = lab("check", EASY, cwd=copy, code=1).stdout
    assert "printed  I see 1 of v2" in wrong
    assert "✗ 2.2" in wrong and "observed" in wrong and "hint" in wrong
    assert "0 of 1 exercise passed, 0 of 10 points" in wrong

    write(copy, "ours")
    right = lab("check", EASY, cwd=copy).stdout
    assert re.search(r"✓ 2\.2 +in which groups a process is +10 points", right)
    assert "Next: 2.1" in right
    shown = lab("status", cwd=here).stdout
    assert re.search(r"✓ 2\.2 .* 2 checks, 2 hints", shown)
    assert "10 of 85 points" in shown
    assert 'groups[controllers or "unified"] = group' in lab("solution", EASY, cwd=copy).stdout


def hints() -> list[str]:
    import tomllib

    told = tomllib.loads((ROOT / "course.toml").read_text())
    (found,) = [one["hints"] for one in told["labs"] if one["id"] == EASY]
    assert isinstance(found, list)
    return found


def test_the_copy_runs(copy: Path) -> None:
    """What is solved in it works, what is not is told in one line; by its own launcher, too."""
    main = copy / "steps/01-namespaces/main.py"
    python = [sys.executable, "-ESs", str(main)]
    done = subprocess.run([*python, "run", "true"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        [*python[:2], str(copy / "steps/02-cgroups/main.py"), "run", "-m", "20M", "true"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 125
    assert re.fullmatch(
        r"mydocker: exercise 2\.\d: .*: not written yet \(\w+\.py, line \d+\)\n", done.stderr
    )
    done = subprocess.run([copy / "mydocker", "namespace", "list"], capture_output=True, text=True)
    assert "4026531838  uts" in done.stdout, done.stderr


def test_watch_checks_again_when_a_file_is_saved(copy: Path) -> None:
    log = copy.parent / "log"
    with log.open("w") as file:
        watching = subprocess.Popen(
            [*PROGRAM, "check", EASY, "--watch"], cwd=copy, stdout=file, stderr=file
        )
    try:
        eventually(lambda: "watching" in log.read_text())
        write(copy, "ours")
        assert watching.wait(patience(60)) == 0
        assert "✓ 2.2" in log.read_text()
    finally:
        watching.send_signal(signal.SIGKILL)
        watching.wait()


def test_reset_keeps_what_was_written(copy: Path) -> None:
    write(copy, "    return {'mine': text}\n")
    write(copy, "    return []\n", "2.1")
    file = copy / FILE
    file.write_text(file.read_text().replace("V1 = 1", "V1 = 7"))
    assert "outside" in lab("check", "2.6", cwd=copy, code=1).stdout
    lab("reset", EASY, cwd=copy)
    text = file.read_text()
    assert "exercise 2.2: " in text and "    return []\n" in text and "V1 = 1" in text
    kept = copy / ".before-reset" / FILE.removeprefix("steps/")
    assert "return {'mine': text}" in kept.read_text()
    file.write_text(text.replace("# end lab", "# the end"))  # a mark is lost: the file is mended
    assert "has to stay" in lab("check", cwd=copy, code=125).stderr.replace("have", "has")
    lab("reset", "--all", cwd=copy)
    assert "anew" not in lab("reset", "--all", cwd=copy).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start", "9"], "There are: 01"),
        (["check", "2.99"], "There are: 1.1"),
        (["check", "1.1"], "is the copy for lab 02"),
        (["-C", "/nowhere", "check"], "no lab was started there"),
        (["start", "02", "."], "not empty"),
        (["grade", "/nowhere"], "is no directory"),
        (["grade", "/etc"], "has no steps/"),
        (["grade", "a", "b", "--gradescope"], "one submission"),
        (["reset"], "name an exercise"),
    ],
    ids=lambda one: one if isinstance(one, str) else " ".join(one),
)
def test_what_cannot_be_is_one_line(copy: Path, arguments: list[str], said: str) -> None:
    refused = lab(*arguments, cwd=copy, code=125)
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1, refused.stderr


def test_without_root_all_but_the_check(sandbox: Sandbox) -> None:
    """In a copy that sudo has cut: it is the user's all the same."""
    place = sandbox.directory / "student"
    place.mkdir()
    command = [*PROGRAM, "start", "02"]
    user = {**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"}
    subprocess.run(command, cwd=place, env=user, check=True, capture_output=True)
    copy = place / "lab-02"
    if subprocess.run(["test", "-r", ROOT / "course.toml"], user=65534, group=65534).returncode:
        pytest.skip("the repository is in a folder that only root may read")
    student = {"user": 65534, "group": 65534, "extra_groups": [], "text": True}
    for arguments, code in ((["hint"], 0), (["status"], 0), (["check"], 125)):
        done = subprocess.run(  # type: ignore[call-overload]
            [*PROGRAM, *arguments], cwd=copy, capture_output=True, **student
        )
        assert done.returncode == code, done.stderr
    assert "that needs root" in done.stderr and "sudo" in done.stderr
    shutil.rmtree(place)


# ---------------------------------------------------------------- grade

Students = Callable[[str], Path]


def test_a_class_is_graded(copy: Path) -> None:
    """A right answer, a wrong one, a crash, a changed test, a change beside: all in one go."""
    top = copy.parent / "class"
    bodies = {
        "right": "ours",
        "wrong": "    return {}\n",
        "crash": "    return text.no_such_method()\n",
        "tests": "ours",
        "beside": "ours",
    }
    for student, body in bodies.items():
        shutil.copytree(copy, top / student, symlinks=True)
        write(top / student, body)
    (top / "tests/tests/01-namespaces").mkdir(parents=True)
    (top / "tests/tests/01-namespaces/test_run.py").write_text("def test_it():\n    pass\n")
    other = top / "beside" / FILE
    other.write_text(other.read_text().replace("V2 = 2", "V2 = 1 + 1"))
    (top / "nothing").mkdir()
    older = copy.parent / "class/older"
    shutil.copytree(top / "beside", older, symlinks=True)
    record = json.loads((older / "lab.json").read_text())
    (older / "lab.json").write_text(json.dumps(record | {"version": "another"}))
    way = {"passed": "", "checks": 3, "hints": 2, "solution_seen": True}
    record["exercises"] = {EASY: way}
    (top / "right/lab.json").write_text(json.dumps(record))
    folders = [str(top / student) for student in ("nothing", *bodies, "older")]

    done = lab("grade", *folders, "--json", "--seed", "spring", cwd=copy.parent, code=1)
    told = json.loads(done.stdout)
    assert told["seed"] == "spring"
    by_student = {one["student"]: one for one in told["submissions"]}
    outcomes = {
        name: {exercise["id"]: exercise["outcome"] for exercise in one["exercises"]}.get(EASY)
        for name, one in by_student.items()
    }
    assert outcomes == {
        "nothing": None, "right": "passed", "wrong": "wrong", "crash": "crash",
        "tests": None, "beside": None, "older": None,
    }  # fmt: skip
    assert {name: one["points"] for name, one in by_student.items()} == {
        "nothing": 0, "right": 10, "wrong": 0, "crash": 0, "tests": 0, "beside": 0, "older": 0,
    }  # fmt: skip
    assert by_student["tests"]["refused"] == ["tests/01-namespaces/test_run.py: was changed"]
    assert by_student["beside"]["refused"] == [f"{FILE}: was changed outside of the exercises"]
    assert "has no steps/" in by_student["nothing"]["refused"][0]
    assert by_student["nothing"]["max_points"] == by_student["right"]["max_points"]
    assert "cut from another version" in by_student["older"]["refused"][-1]
    assert len({one["seed"] for one in by_student.values()}) == len(folders)
    right = next(one for one in by_student["right"]["exercises"] if one["id"] == EASY)
    assert {name: right[name] for name in ("checks", "hints", "solution_seen")} == {
        "checks": 3, "hints": 2, "solution_seen": True,
    }  # fmt: skip
    crash = next(one for one in by_student["crash"]["exercises"] if one["id"] == EASY)
    assert "AttributeError" in crash["observed"][0] and "hierarchy.py, line" in crash["observed"][0]


def test_the_forms() -> None:
    """What other programs read, made from the same grades: no suite is run for that."""
    from mydocker.labs import forms, manifest
    from mydocker.labs.grading import Grade, own_seed
    from mydocker.labs.verdicts import Verdict

    exercises = manifest.load(str(ROOT)).of_step(2)[:3]
    outcomes = ("passed", "crash", "wrong")
    verdicts = tuple(
        Verdict(one, outcome, "test", ("a\x1b[1mb & <c>",), "why?")
        for one, outcome in zip(exercises, outcomes, strict=True)
    )
    seed = own_seed("spring", "=ann")
    assert seed == own_seed("spring", "=ann") != own_seed("spring", "bob")
    good = Grade("=ann", "/x", 2, exercises, verdicts, (), seed, 1.5)
    bad = Grade("bob", "/y", 2, exercises, (), ("tests/x: was changed",), seed, 0.1)
    points = exercises[0].points

    suites = ElementTree.fromstring(forms.as_junit([good, bad]).encode())
    counts = [[one.get(k) for k in ("tests", "failures", "errors")] for one in suites]
    assert counts == [["3", "1", "1"], ["1", "0", "1"]]
    (ann, bob) = csv.DictReader(io.StringIO(forms.as_csv([good, bad])))
    assert (ann["student"], ann["points"], ann["2.2"]) == ("'=ann", str(points), "crash")
    assert (bob["refused"], bob["2.1"]) == ("tests/x: was changed", "")
    scope = json.loads(forms.as_gradescope(good))
    assert scope["score"] == points and len(scope["tests"]) == 3
    assert "may not be changed" in json.loads(forms.as_gradescope(bad))["output"]
    room = json.loads(forms.as_classroom(good))
    assert [one["status"] for one in room["tests"]] == ["pass", "error", "fail"]
    assert (room["version"], room["status"]) == (1, "fail")
    assert json.loads(forms.as_classroom(bad))["tests"][0]["status"] == "error"


def test_a_seed_gives_the_same_values_again(tmp_path: Path) -> None:
    """Two runs of a test that plants a value: told by what it prints when it fails."""
    from mydocker.container.commandline import default_run
    from mydocker.labs.judging import Suite

    node = "01-namespaces/test_isolation.py::test_host_name"
    parts = (ROOT / "steps/01-namespaces/mydocker/namespaces/parts.py").read_text()
    broken = parts.replace("sethostname(self.name,", "sethostname('other',")
    planted = []
    for seed in ("one", "one", "two"):
        suite = Suite(str(ROOT), default_run(), seed=seed)
        run = suite.run({"01-namespaces/mydocker/namespaces/parts.py": broken}, [node])
        planted.append(re.search(r"box-\w+", run.seen[0].text)[0])  # type: ignore[index]
    assert planted[0] == planted[1] != planted[2]
