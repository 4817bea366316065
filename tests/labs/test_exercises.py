"""The checks are checked from both ends: our solution passes, and what is wrong fails, with the
hint that is meant for it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from labs.patches import PATCHES, ROOT, Patch, read

if TYPE_CHECKING:
    from mydocker.labs.manifest import Course, Step

pytestmark = pytest.mark.root

PROGRAM = Path(__file__).with_name("trial.py")
Trial = dict[str, Any]


@cache
def course() -> "Course":
    from mydocker.labs import manifest

    return manifest.load(str(ROOT))


def names() -> list[str]:
    """The ids of all exercises, read without our own code: it is not there when tests are found."""
    import tomllib

    told = tomllib.loads((ROOT / "course.toml").read_text())
    return [one["id"] for one in told["labs"]]


@cache
def ours() -> dict[str, str]:
    from mydocker.labs import regions

    return regions.marked(str(ROOT / "steps"))


def patches(exercise: str) -> list[Patch]:
    """The wrong solutions of an exercise that are wrong on this machine."""
    from mydocker.cgroups import hierarchy

    found = [read(path) for path in PATCHES if path.name.startswith(f"{exercise}-")]
    worlds = {"v2": ["v2"], "v1": ["v1"]}.get(hierarchy.read().world, ["v1"])
    return [one for one in found if one.world in ("", *worlds)]


@cache
def results(name: str) -> dict[str, Trial]:
    """What came of our solution, the stub, and each wrong solution: two at once."""
    from mydocker.labs import regions

    stub = {path: regions.emptied(text, [name]) for path, text in ours().items()}
    stub = {path: text for path, text in stub.items() if text != ours()[path]}
    trials: list[Trial] = [{"name": "ours", "files": {}}, {"name": "stub", "files": stub}]
    trials += [{"name": one.name, "files": one.applied()} for one in patches(name)]
    for trial in trials:
        trial["exercise"] = name
    return run(trials)


def run(trials: Sequence[Trial]) -> dict[str, Trial]:
    programs = []
    for part in filter(None, (trials[::2], trials[1::2])):
        program = subprocess.Popen(
            [sys.executable, "-ESs", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdin is not None
        program.stdin.write(json.dumps(part))
        program.stdin.close()
        programs.append(program)
    found: dict[str, Trial] = {}
    for program in programs:
        assert program.stdout is not None
        text = program.stdout.read()
        program.stdout.close()
        assert program.wait() == 0
        found |= {one["name"]: one for one in json.loads(text)}
    return found


@pytest.mark.parametrize("name", names())
def test_our_solution_passes(name: str) -> None:
    found = results(name)["ours"]
    assert found["outcome"] == "passed", found["texts"]


@pytest.mark.parametrize("name", names())
def test_a_stub_fails_because_it_is_one(name: str) -> None:
    """And every test that judges the exercise fails: one that does not says nothing about it."""
    exercise, found = course().exercise(name), results(name)["stub"]
    assert found["outcome"] == "unwritten", found
    for test in exercise.tests:
        assert any(one == test or one.startswith(f"{test}[") for one in found["failed"]), test
    said = f"exercise {name}: {exercise.title}"
    assert any(said in text for text in found["texts"]), found["texts"]


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_a_wrong_solution_gets_its_hint(path: Path) -> None:
    patch = read(path)
    if patch not in patches(patch.exercise):
        pytest.skip(f"no mistake here: {patch.world}")
    found = results(patch.exercise)[patch.name]
    told = "\n".join([*found["observed"], *found["texts"]])
    assert (found["outcome"], found["hint"]) == (patch.outcome, patch.hint), told


# ---------------------------------------------------------------- what is written down


@pytest.mark.parametrize("name", names())
def test_the_source_has_what_the_manifest_says(name: str) -> None:
    from mydocker.labs import regions

    exercise = course().exercise(name)
    found = [
        region
        for path, text in ours().items()
        for region in regions.find(text, path)
        if region.exercise == name
    ]
    assert {region.title for region in found} == {exercise.title}
    lines = sum(len(region.body.splitlines()) for region in found)
    assert 4 <= lines <= 26, f"{lines} lines: an idea has 5 to 25"
    assert exercise.minutes > 0 and exercise.points == 5 + 5 * exercise.difficulty
    assert 2 <= len(exercise.hints) <= 4
    assert all(len(line) < 400 for line in (exercise.goal, *exercise.hints))


@pytest.mark.parametrize("name", names())
def test_no_hint_gives_the_answer(name: str) -> None:
    """No line of ours that is more than a word or two stands in a hint."""
    from mydocker.labs import regions

    exercise = course().exercise(name)
    told = " ".join([exercise.goal, *exercise.hints, *(one.say for one in exercise.observed)])
    for path, text in ours().items():
        for region in regions.find(text, path):
            code = [line.strip() for line in region.body.splitlines() if region.exercise == name]
            assert [line for line in code if len(line) > 30 and line in told] == []


@pytest.mark.parametrize("name", names())
def test_there_are_two_wrong_solutions(name: str) -> None:
    assert len(patches(name)) >= 2


def test_the_source_has_no_exercise_that_the_manifest_has_not() -> None:
    from mydocker.labs import regions

    found = {exercise for exercise, _ in regions.bodies(ours())}
    assert found == set(names())


def test_every_step_has_four_exercises() -> None:
    for step in with_exercises():
        assert len(course().of_step(step.number)) >= 4, step.title


def with_exercises() -> "list[Step]":
    """All steps but one that is so new that it has none yet."""
    numbers = {one.step for one in course().exercises}
    assert numbers >= {1, 2, 3, 4, 5}
    return [step for step in course().steps if step.number in numbers]


def test_who_solved_a_lab_has_not_solved_the_next(tmp_path: Path) -> None:
    """In the copy of a lab all earlier ones are solved, and none of its own is."""
    from mydocker.labs import copies
    from mydocker.labs.verdicts import written

    for step in with_exercises():
        copy = copies.start(course(), str(ROOT), step.number, str(tmp_path / str(step.number)))
        bodies = copy.bodies()
        done = {one.id for one in course().exercises if written(one, bodies)}
        assert done == {one.id for one in course().exercises if one.step != step.number}
        assert copies.changes(copy.directory, str(ROOT)) == []
