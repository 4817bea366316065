"""``mydocker lab``: exercises that are cut from this source, and judged by its suite."""

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mydocker.container.commandline import LazyGroup, default_run
from mydocker.kernel import signals
from mydocker.kernel.errors import Failure

if TYPE_CHECKING:
    from mydocker.labs.copies import Copy
    from mydocker.labs.manifest import Course, Exercise
    from mydocker.labs.verdicts import Verdict

_HELP = """Exercises: pieces of this source that are yours to write, judged by its own tests.

\b
  mydocker lab list                    all labs and their exercises
  mydocker lab start 01                cut your copy, into ./lab-01
  sudo mydocker lab check              what passes, what was observed, a hint
  sudo mydocker lab check 1.2 --watch  again whenever you save
  mydocker lab hint                    a hint; once more for one that says more
  mydocker lab status                  how far you are
  mydocker lab solution 1.2            ours, when yours has passed
  sudo mydocker lab grade class/*      for teachers: points for each submission

A copy is found from inside of it, or from the folder where it was started; -C names another.
"""


class _Lab(LazyGroup):
    """The commands in the order in which they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["list", "start", "check", "hint", "status", "reset", "solution", "grade"]


@click.group("lab", cls=_Lab, help=_HELP, lazy={"grade": "mydocker.learn.grade:grade"})
@click.option("-C", "--copy", "directory", default="", metavar="DIR", help="Your copy.")
@click.pass_context
def lab(context: click.Context, directory: str) -> None:
    context.obj = directory


limit_option = click.option(
    "--limit", type=click.FloatRange(min=1), default=50.0, metavar="SECONDS",
    help="How long one test may take. Default: 50.",
)  # fmt: skip


vm_option = click.option(
    "--vm", "in_vm", is_flag=True,
    help="In a virtual machine (made once by: mydocker vm --build).",
)  # fmt: skip


def _copy_option(command: Callable[..., Any]) -> Callable[..., Any]:
    def remember(context: click.Context, option: click.Parameter, value: str) -> None:
        context.obj = value or context.obj

    return click.option(
        "-C", "--copy", default="", metavar="DIR", expose_value=False, callback=remember,
        help="Your copy, if you are not in it.",
    )(command)  # fmt: skip


_exercise = click.argument("name", metavar="[EXERCISE]", default="")


# ---------------------------------------------------------------- list, start


@lab.command("list")
@click.argument("step", type=int, required=False)
def list_command(step: int | None) -> None:
    """List the labs and their exercises, or those of one lab."""
    from mydocker.labs import manifest

    course = manifest.load(manifest.default_repository())
    some = {one.step for one in course.exercises}  # a new step has none yet
    known = [one for one in course.steps if one.number in some]
    chosen = [course.step(step)] if step is not None else known
    for one in chosen:
        exercises = [exercise for exercise in course.exercises if exercise.step == one.number]
        minutes, points = (
            sum(getattr(exercise, name) for exercise in exercises) for name in ("minutes", "points")
        )
        click.secho(f"Lab {one.number:02d}  {one.title}", bold=True)
        for exercise in exercises:
            stars = "*" * exercise.difficulty
            about = f"{stars:3} {exercise.minutes:3} min {exercise.points:3} points"
            click.echo(f"  {exercise.id:4} {_cut(exercise.title, 44):44} {about}")
            if step is not None:
                click.echo(_wrapped(exercise.goal, "       "))
        click.echo(f"  {_count(len(exercises), 'exercise')}, {minutes} minutes, {points} points\n")
    click.echo(f"Begin: {_program()} lab start {chosen[0].number:02d}")


@lab.command()
@click.argument("step", type=int)
@click.argument("directory", required=False)
def start(step: int, directory: str | None) -> None:
    """Cut your copy for the lab of STEP into DIRECTORY, by default ./lab-STEP.

    It has all the steps; the exercises of this lab are empty, all others are solved.
    """
    from mydocker.labs import copies, manifest

    repository = manifest.default_repository()
    course = manifest.load(repository)
    directory = directory or copies.default_directory(step)
    copy = copies.start(course, repository, step, directory)
    exercises = course.of_step(step)
    click.secho(f"Lab {step:02d}  {course.step(step).title}", bold=True)
    click.echo(f"  your copy     {_relative(directory)}")
    click.echo(f"  its chapter   {_relative(os.path.join(repository, course.step(step).chapter))}")
    click.echo(f"  exercises     {len(exercises)}, {sum(e.points for e in exercises)} points\n")
    _show_task(copy, exercises[0])
    here = _program() == "./mydocker" and _is_found(copy)
    there = "" if here else f"cd {_relative(copy.directory)}; "
    click.echo(f"\nCheck it: {there}sudo ./mydocker lab check")


# ---------------------------------------------------------------- check


@lab.command()
@_exercise
@_copy_option
@click.option("-w", "--watch", is_flag=True, help="Go on: check again whenever you save.")
@limit_option
@vm_option
@click.pass_obj
def check(directory: str, name: str, watch: bool, limit: float, in_vm: bool) -> int:
    """Check EXERCISE, or all of the lab: what passes, what was observed, and a hint.

    Your code is tried in a container, as a user who is nobody on your machine, with limits for
    memory, processes, processors and disk. It still asks your own kernel: code that you do not
    trust at all you check with --vm. There, what was reached is told, and not noted.

    The exit code is 0 if all passed, 1 if something did not.
    """
    copy, course = _found(directory, name)
    if in_vm:
        if watch:
            raise click.UsageError("--watch and --vm: the machine would be made anew each time")
        from mydocker.labs import elsewhere

        which: list[str | int] = [name] if name else []
        words = ["check", *which, "--copy", 0, "--limit", f"{limit:g}"]
        return elsewhere.run(copy.repository, [copy.directory], words)
    chosen = [course.exercise(name)] if name else list(course.of_step(copy.step))
    _ready(copy.repository)
    if not watch:
        return _check(copy, course, chosen, limit)
    while True:
        before = _times(copy)
        done = _check(copy, course, chosen, limit)
        if done == 0:
            return 0
        click.secho("\nwatching: save a file, and it is checked again; Ctrl-C ends", dim=True)
        while _times(copy) == before:
            signals.pause(0.5)  # and not by inotify(7): shared folders of a VM tell nothing
        click.echo(f"\n{time.strftime('%H:%M:%S')} {'-' * 60}")


def _check(copy: "Copy", course: "Course", chosen: Sequence["Exercise"], limit: float) -> int:
    from mydocker.labs.judging import Bounds, Suite
    from mydocker.labs.verdicts import Judge

    # What is wrong often shows by something that does not come: nobody wants to wait for it long.
    patience = limit / 100 * float(os.environ.get("MYDOCKER_TEST_PATIENCE", "1"))
    suite = Suite(copy.repository, default_run(), Bounds(seconds=limit), patience=str(patience))
    _progress(f"checking {_count(len(chosen), 'exercise')} ...")
    try:
        verdicts = Judge(suite).judge(chosen, copy.bodies())
    finally:
        _progress("")
    for verdict in verdicts:
        reached = copy.of(verdict.exercise)
        reached.checks += verdict.outcome != "unwritten"
        reached.passed = reached.passed or (time.strftime("%F %T") if verdict.passed else "")
        _show(verdict)
    copy.save()
    _warn(copy)
    click.echo()
    _conclude(copy, course, verdicts)
    return int(not all(verdict.passed for verdict in verdicts))


def _warn(copy: "Copy") -> None:
    """Say what does not count: what was changed outside of the exercises."""
    from mydocker.labs import copies

    if copy.version and copy.version != copies.version(copy.repository):
        click.secho(
            "  ! the repository has changed since this copy was cut: its new state is what\n"
            f"    judges; {_program()} lab reset EXERCISE brings a file up to date",
            fg="yellow",
        )
        return
    for change in copies.changes(copy.directory, copy.repository):
        click.secho(_wrapped(f"! {change}: that does not count", "  ", "    "), fg="yellow")


_MARKS = {
    "passed": ("✓", "green", ""),
    "wrong": ("✗", "red", ""),
    "crash": ("✗", "red", "crashed"),
    "timeout": ("✗", "red", "too slow"),
    "unwritten": ("·", "bright_black", "to do"),
    "skipped": ("-", "yellow", "not here"),
    "cheated": ("✗", "red", "refused"),
}


def _show(verdict: "Verdict") -> None:
    from mydocker.labs.verdicts import words

    mark, colour, word = _MARKS[verdict.outcome]
    exercise = verdict.exercise
    last = f"{exercise.points} points" if verdict.passed else word
    title = _cut(exercise.title, 50)
    click.echo(f"  {click.style(mark, fg=colour)} {exercise.id:4} {title:50} {last:>10}")
    if verdict.outcome in ("passed", "unwritten"):
        return
    if verdict.test:
        _detail("test", words(verdict.test))
        _detail("", f"in tests/{verdict.test.partition('::')[0]}")
    for number, line in enumerate(verdict.observed):
        _detail("" if number else "observed", _cut(line, 200))
    for number, line in enumerate(verdict.printed):
        _detail("" if number else "printed", _cut(line, 200))
    if verdict.hint:
        _detail("hint", verdict.hint, bold=True)
    if verdict.remark:
        _detail("note", verdict.remark)


def _detail(label: str, text: str, bold: bool = False) -> None:
    text = _wrapped(text, " " * 18)[18:]
    click.echo(f"         {click.style(f'{label:8}', dim=True)} {click.style(text, bold=bold)}")


def _conclude(copy: "Copy", course: "Course", verdicts: Sequence["Verdict"]) -> None:
    from mydocker.labs.verdicts import points

    passed = sum(verdict.passed for verdict in verdicts)
    most = sum(verdict.exercise.points for verdict in verdicts)
    click.echo(
        f"{passed} of {_count(len(verdicts), 'exercise')} passed, {points(verdicts)} of "
        f"{most} points"
    )
    left = next((verdict for verdict in verdicts if not verdict.passed), None)
    if left is None:
        click.echo(_what_next(copy, course))
    elif left.outcome == "unwritten":
        click.echo()
        _show_task(copy, left.exercise)
    else:
        click.echo(f"More of a hint: {_program()} lab hint {left.exercise.id}")


def _what_next(copy: "Copy", course: "Course") -> str:
    exercises = course.of_step(copy.step)
    left = [exercise for exercise in exercises if not copy.of(exercise).passed]
    if left:
        return f"Next: {left[0].id} {left[0].title}"
    later = [exercise.step for exercise in course.exercises if exercise.step > copy.step]
    if later:
        after = course.step(later[0])
        chapter = _relative(os.path.join(copy.repository, after.chapter))
        return (
            f"The lab is done. Read on: {chapter}\nand then: {_program()} lab start {later[0]:02d}"
        )
    return "The lab is done, and with it the course."


def _times(copy: "Copy") -> list[tuple[str, int, int]]:
    from mydocker.labs import regions

    found = []
    for path in regions.sources(copy.steps):
        try:
            status = os.stat(os.path.join(copy.steps, path))
        except FileNotFoundError:
            continue  # an editor is just replacing it
        found.append((path, status.st_mtime_ns, status.st_size))
    return found


def _ready(repository: str) -> None:
    """Root, and the packages of the suite, which are installed when they are first needed."""
    if os.geteuid() != 0:
        raise Failure(
            "a check makes a container for your code, and that needs root",
            f"Use: sudo {_program()} lab check",
        )
    venv = os.environ.get("MYDOCKER_VENV") or os.path.join(repository, ".venv")
    if not os.path.exists(os.path.join(venv, "bin", "pytest")):
        import subprocess

        launcher = os.path.join(repository, "mydocker")
        if subprocess.run([launcher, "setup", "--lab"], check=False).returncode != 0:
            raise Failure("the packages of the suite are missing", f"Run: {launcher} setup --lab")


# ---------------------------------------------------------------- hint, status


@lab.command()
@_exercise
@_copy_option
@click.pass_obj
def hint(directory: str, name: str) -> None:
    """Give a hint for EXERCISE, by default the first that has not passed.

    The next call gives one more, which says more. None gives the answer.
    """
    copy, course = _found(directory, name)
    exercise = course.exercise(name) if name else _first_left(copy, course)
    reached = copy.of(exercise)
    reached.hints = min(reached.hints + 1, len(exercise.hints))
    copy.save()
    _show_task(copy, exercise)
    click.echo()
    for number, text in enumerate(exercise.hints[: reached.hints], 1):
        label = f"hint {number} of {len(exercise.hints)}"
        click.echo(_wrapped(f"{label}: {text}", "  ", "    "))
    if reached.hints == len(exercise.hints):
        click.echo("\nThese are all. The chapter builds it piece by piece, and man pages say more.")


@lab.command()
@_copy_option
@click.pass_obj
def status(directory: str) -> None:
    """Show how far you are: what was passed and when, how many checks and hints it took."""
    copy, course = _found(directory, "")
    click.secho(f"Lab {copy.step:02d}  {course.step(copy.step).title}", bold=True)
    place = _relative(copy.directory)
    click.echo(f"{'' if place == '.' else f'{place}, '}begun {copy.started}\n")
    exercises = course.of_step(copy.step)
    passed = [exercise for exercise in exercises if copy.of(exercise).passed]
    for exercise in exercises:
        reached = copy.of(exercise)
        mark, colour, _ = _MARKS["passed" if reached.passed else "unwritten"]
        told = [_count(reached.checks, "check")] if reached.checks else []
        told += [_count(reached.hints, "hint")] if reached.hints else []
        told += ["solution seen"] if reached.solution_seen else []
        title = _cut(exercise.title, 36)
        line = f"  {click.style(mark, fg=colour)} {exercise.id:4} {title:36} {', '.join(told)}"
        click.echo(line.rstrip())
    points = sum(exercise.points for exercise in passed)
    most = sum(exercise.points for exercise in exercises)
    bar = "█" * round(30 * points / most) if most else ""
    click.echo(f"\n  {bar:░<30} {points} of {most} points")
    click.echo(f"\n{_what_next(copy, course)}")


# ---------------------------------------------------------------- reset, solution


@lab.command()
@click.argument("name", metavar="[EXERCISE]", default="")
@click.option("-a", "--all", "every", is_flag=True, help="All exercises of the lab.")
@_copy_option
@click.pass_obj
def reset(directory: str, name: str, every: bool) -> None:
    """Empty EXERCISE again, and mend what was changed around it in its files.

    What you wrote is kept in .before-reset in your copy.
    """
    from mydocker.labs import copies

    if bool(name) == every:
        raise click.UsageError("name an exercise, or say --all")
    copy, course = _found(directory, name)
    chosen = course.of_step(copy.step) if every else (course.exercise(name),)
    changed = copies.reset(copy, chosen)
    for path in changed:
        click.echo(f"anew: {path}")
    if changed:
        click.echo(f"What was there is in {_relative(copy.directory)}/.before-reset")
    else:
        click.echo("Nothing to do: it is as it was cut.")


@lab.command()
@click.argument("name", metavar="EXERCISE")
@click.option("-y", "--yes", is_flag=True, help="Also if yours has not passed.")
@_copy_option
@click.pass_obj
def solution(directory: str, name: str, yes: bool) -> None:
    """Show our solution of EXERCISE, once yours has passed: to compare."""
    from mydocker.labs import copies, regions

    copy, course = _found(directory, name)
    exercise = course.exercise(name)
    reached = copy.of(exercise)
    if not reached.passed and not yes:
        raise Failure(
            f"exercise {name} has not passed yet",
            f"A hint: {_program()} lab hint {name}; to see it all the same: --yes",
        )
    if not reached.passed:
        reached.solution_seen = True
        copy.save()
    for path, line, region in copies.places(copy.repository, exercise):
        click.secho(f"{path}, line {line}", dim=True)
        click.echo(f"{_coloured(regions.shown(region))}\n")


def _coloured(code: str) -> str:
    if not sys.stdout.isatty():
        return code
    from rich.console import Console
    from rich.syntax import Syntax

    console = Console()
    with console.capture() as captured:
        console.print(Syntax(code, "python", theme="ansi_dark", background_color="default"))
    return captured.get().rstrip("\n")


# ---------------------------------------------------------------- what they share


def _found(directory: str, name: str) -> tuple["Copy", "Course"]:
    """The copy and its course. What is judged by another repository, that one's program does."""
    from mydocker.labs import copies, manifest

    head = name.partition(".")[0]
    copy = copies.find(directory, int(head) if head.isdigit() else None)
    own = manifest.default_repository()
    if os.path.realpath(copy.repository) != os.path.realpath(own):
        launcher = os.path.join(copy.repository, "mydocker")
        if not os.access(launcher, os.X_OK):
            hint = f'Correct "repository" in {copy.directory}/lab.json'
            raise Failure(f"{copy.repository}: the repository of this lab is not there", hint)
        os.execv(launcher, [launcher, *sys.argv[1:]])
    course = copies.course_of(copy)
    if name and course.exercise(name).step != copy.step:
        hint = f"Start its lab, or name its copy with -C: {_program()} lab start {head.zfill(2)}"
        raise Failure(f"{copy.directory} is the copy for lab {copy.step:02d}", hint)
    return copy, course


def _is_found(copy: "Copy") -> bool:
    """Is it the one that the commands here mean, if nothing is said?"""
    from mydocker.labs import copies

    try:
        return copies.find().directory == copy.directory
    except Failure:
        return False


def _first_left(copy: "Copy", course: "Course") -> "Exercise":
    exercises = course.of_step(copy.step)
    return next((one for one in exercises if not copy.of(one).passed), exercises[0])


def _show_task(copy: "Copy", exercise: "Exercise") -> None:
    from mydocker.labs import copies, regions

    click.echo(f"{exercise.id} {click.style(exercise.title, bold=True)}")
    click.echo(_wrapped(exercise.goal, "  "))
    places = copies.places(copy.directory, exercise)
    left = [region for _, _, region in places if regions.is_unwritten(region.body)]
    for path, line, region in places:
        done = "  (written)" if left and region not in left else ""
        click.echo(f"  {_relative(os.path.join(copy.directory, path))}:{line}{done}")


def _program() -> str:
    """How the reader calls us: ./mydocker where that is what lies here."""
    return "./mydocker" if os.access("mydocker", os.X_OK) else "mydocker"


def _relative(path: str) -> str:
    near = os.path.relpath(path)
    return path if near.startswith("../..") else near


def _width() -> int:
    return min(80, shutil.get_terminal_size((80, 24)).columns)


def _wrapped(text: str, first: str, later: str | None = None) -> str:
    after = first if later is None else later
    return textwrap.fill(
        text, _width(), initial_indent=first, subsequent_indent=after, break_on_hyphens=False
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _progress(text: str) -> None:
    """A line that is replaced by what comes; nothing in a pipe."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
