"""``mydocker lab grade``: the submissions of a class."""

import os
import sys
from typing import TYPE_CHECKING

import click

from mydocker.container.commandline import default_run
from mydocker.container.flags import command
from mydocker.kernel.errors import Failure
from mydocker.learn.lab import _progress, _ready, limit_option, vm_option

if TYPE_CHECKING:
    from mydocker.labs.grading import Grade

_FORMS = {
    "json": "Everything, with what was observed.",
    "junit": "JUnit's XML, for continuous integration.",
    "csv": "One line a submission, for a spreadsheet.",
    "gradescope": "results.json of a Gradescope autograder; one submission.",
    "classroom": "GitHub Classroom's autograding result; one submission.",
}


@command()
@click.argument("directories", nargs=-1, required=True, metavar="DIR...")
@click.option("--lab", "step", type=int, help="Which lab. Default: as each submission says.")
@click.option("--seed", default="", metavar="TEXT", help="Plant the same random values again.")
@click.option("--accept-changes", "accept", is_flag=True,
              help="Do not refuse what was changed outside of the exercises.")  # fmt: skip
@limit_option
@vm_option
def grade(
    directories: tuple[str, ...], step: int | None, seed: str, accept: bool, limit: float,
    in_vm: bool, **wanted: bool,
) -> int:  # fmt: skip
    """Grade submissions: folders that lab start has made, and students have filled in.

    Only the exercises are taken from a submission; tests and all other code are this repository's.
    One in which anything else was changed is refused, and the change is named. Each student's tests
    plant other random values; the seed that they come from is recorded.

    A submission runs in a container, as nobody on this machine; with --vm, that is in a virtual
    machine, one for all that are named. "?" and "cheated": it has interfered with the judge.

    The exit code is 0 if all submissions have all points, 1 if not.
    """
    from mydocker.labs import forms, grading, manifest
    from mydocker.labs.judging import Bounds, Suite

    chosen = [name for name in _FORMS if wanted[f"as_{name}"]]
    if len(chosen) > 1:
        raise click.UsageError(f"choose one: --{' or --'.join(chosen)}")
    form = chosen[0] if chosen else ""
    if form in ("gradescope", "classroom") and len(directories) != 1:
        raise Failure(f"--{form} is the form of one submission", "Name one directory")
    repository = manifest.default_repository()
    seed = seed or os.urandom(8).hex()
    if in_vm:
        from mydocker.labs import elsewhere

        missing = next((one for one in directories if not os.path.isdir(one)), None)
        if missing is not None:
            raise Failure(f"{missing}: is no directory", "Name the folders of the submissions")
        words: list[str | int] = ["grade", "--seed", seed, "--limit", f"{limit:g}"]
        words += ["--lab", str(step)] if step is not None else []
        words += ["--accept-changes"] if accept else []
        words += [f"--{form}"] if form else []
        words += range(len(directories))
        return elsewhere.run(repository, directories, words)
    _ready(repository)
    course = manifest.load(repository)
    suite = Suite(repository, default_run(), Bounds(seconds=limit), canaries=True)
    grades: list[Grade] = []
    for one in grading.grade(course, suite, directories, step=step, seed=seed, accept=accept):
        grades.append(one)
        _progress(f"{len(grades)} of {len(directories)}: {one.student} ")
        if not form:
            _progress("")
            _show(one)
    _progress("")
    if form in ("gradescope", "classroom"):
        write = forms.as_gradescope if form == "gradescope" else forms.as_classroom
        click.echo(write(grades[0]))
    elif form == "json":
        click.echo(forms.as_json(grades, seed))
    elif form:
        sys.stdout.write(forms.as_csv(grades) if form == "csv" else forms.as_junit(grades))
    else:
        click.echo(f"\nseed {seed}")
    return int(any(one.points < one.most for one in grades))


for _name, _help in reversed(_FORMS.items()):
    click.option(f"--{_name}", f"as_{_name}", is_flag=True, help=_help)(grade)


_LETTERS = {
    "passed": ("✓", "green"),
    "wrong": ("✗", "red"),
    "crash": ("!", "red"),
    "timeout": ("…", "red"),
    "unwritten": ("·", "bright_black"),
    "skipped": ("-", "yellow"),
    "cheated": ("?", "red"),
}


def _show(one: "Grade") -> None:
    """One line a student; what was refused below it."""
    name = one.student if len(one.student) <= 28 else one.student[:27] + "…"
    points = f"{one.points:3} of {one.most}"
    if one.refused:
        click.echo(f"{name:28} {points}  {click.style('refused', fg='yellow')}")
        for line in one.refused:
            click.echo(f"    {line}")
        return
    marks = []
    for verdict in one.verdicts:
        mark, colour = _LETTERS[verdict.outcome]
        marks.append(f"{verdict.exercise.id}{click.style(mark, fg=colour)}")
    click.echo(f"{name:28} {points}  {' '.join(marks)}")
