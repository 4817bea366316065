"""What ``course.toml`` says of the exercises (its own comment tells the form)."""

import os
import re
import tomllib
from typing import Any

from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record

MANIFEST = "course.toml"
_NEEDED = ("id", "title", "goal", "minutes", "points", "difficulty", "tests", "hints")


@record
class Observation:
    """If the text of a failure matches ``when``, it means what ``say`` says."""

    when: re.Pattern[str]
    say: str


@record
class Exercise:
    """One exercise. ``tests`` are pytest's node ids below ``tests/``; ``hints`` grow."""

    id: str
    title: str
    goal: str
    minutes: int
    points: int
    difficulty: int
    tests: tuple[str, ...]
    hints: tuple[str, ...]
    observed: tuple[Observation, ...] = ()

    @property
    def step(self) -> int:
        """The step that it belongs to."""
        return int(self.id.partition(".")[0])


@record
class Step:
    """A step of the course, as far as its lab is concerned."""

    number: int
    title: str
    folder: str
    chapter: str


@record
class Course:
    """The steps and their exercises, in order."""

    steps: tuple[Step, ...]
    exercises: tuple[Exercise, ...]

    def step(self, number: int) -> Step:
        """Raises Failure if there is no such step."""
        found = next((step for step in self.steps if step.number == number), None)
        if found is None:
            numbers = ", ".join(f"{step.number:02d}" for step in self.steps)
            raise Failure(f"there is no lab {number:02d}", f"There are: {numbers}")
        return found

    def of_step(self, number: int) -> tuple[Exercise, ...]:
        """The exercises of one step. Raises Failure if there are none."""
        self.step(number)
        found = tuple(one for one in self.exercises if one.step == number)
        if not found:
            raise Failure(f"step {number:02d} has no exercises yet", "See: mydocker lab list")
        return found

    def exercise(self, name: str) -> Exercise:
        """The exercise called ``3.2``. Raises Failure if there is none."""
        found = next((one for one in self.exercises if one.id == name), None)
        if found is None:
            names = ", ".join(one.id for one in self.exercises)
            raise Failure(f"there is no exercise {name}", f"There are: {names}")
        return found


def load(repository: str) -> Course:
    """Read the manifest of ``repository``. Raises Failure if it is not there or makes no sense."""
    path = os.path.join(repository, MANIFEST)
    try:
        with open(path, "rb") as file:
            told = tomllib.load(file)
    except FileNotFoundError:
        raise Failure(f"{path}: no such file", "Labs need the whole repository") from None
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"{path}: {error}", "Is it as it came? git status tells") from None
    steps = tuple(
        Step(one["number"], one["title"], one["folder"], one["chapter"]) for one in told["steps"]
    )
    exercises = [_exercise(one, path) for one in told.get("labs", [])]
    exercises.sort(key=lambda one: tuple(map(int, one.id.split("."))))
    return Course(steps, tuple(exercises))


def _exercise(told: dict[str, Any], path: str) -> Exercise:
    name = told.get("id", "without an id")
    missing = [key for key in _NEEDED if key not in told]
    if missing:
        raise Failure(f"{path}: exercise {name}: without {', '.join(missing)}")
    try:
        observed = tuple(
            Observation(re.compile(one["when"], re.MULTILINE), one["say"])
            for one in told.get("observed", [])
        )
    except re.error as error:
        raise Failure(f"{path}: exercise {name}: {error.pattern!r}: {error}") from None
    plain = {key: told[key] for key in _NEEDED[:6]}
    return Exercise(
        **plain, tests=tuple(told["tests"]), hints=tuple(told["hints"]), observed=observed
    )


def default_repository() -> str:
    """The repository that this code is part of. Raises Failure for an installed package."""
    top = os.path.abspath(__file__)
    for _ in range(4):  # learn/mydocker/labs/manifest.py
        top = os.path.dirname(top)
    if not os.path.exists(os.path.join(top, MANIFEST)):
        raise Failure(
            "labs need the repository, with its tests", "Clone it, and use its ./mydocker"
        )
    return top
