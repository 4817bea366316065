"""The student's copy of the steps: cut, found again, reset, solved; and how far it came.

A copy is a folder with the steps, in which the regions of one lab are empty. Its ``lab.json`` says
which lab, which repository it was cut from, and what was reached: for the student, and not for the
teacher, who judges anew.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from typing import Any

from mydocker.kernel.errors import Failure
from mydocker.kernel.records import field, mutable_record
from mydocker.labs import regions
from mydocker.labs.manifest import MANIFEST, Course, Exercise, load
from mydocker.labs.regions import Region

RECORD = "lab.json"
_BEFORE = ".before-reset"
_IGNORED = ("__pycache__/\n", ".venv\n", f"{_BEFORE}/\n")
_LAUNCHER = """\
#!/bin/sh
# Your own code: sudo ./mydocker run --rm -it busybox sh
# The commands of the lab, `./mydocker lab ...`, are those of the repository it was cut from.
here=$(dirname "$(readlink -f "$0")")
case ${{1-}} in lab | setup) cd "$here" && exec '{repository}/mydocker' "$@" ;; esac
export MYDOCKER_VENV='{venv}'
exec '{venv}/bin/python3' -E -s -S "$here/steps/05-cli/main.py" "$@"
"""


@mutable_record
class Progress:
    """Of one exercise: when it was passed, how often it was checked, how many hints were read."""

    passed: str = ""
    checks: int = 0
    hints: int = 0
    solution_seen: bool = False


@mutable_record
class Copy:
    """A student's copy in ``directory``."""

    directory: str
    step: int
    repository: str
    started: str = ""
    version: str = ""  # of what it was cut from
    progress: dict[str, Progress] = field(default_factory=dict)

    @property
    def steps(self) -> str:
        """Where its steps are."""
        return os.path.join(self.directory, "steps")

    def of(self, exercise: Exercise) -> Progress:
        """What was reached in ``exercise``; changes are kept by :meth:`save`."""
        return self.progress.setdefault(exercise.id, Progress())

    def bodies(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """What stands in the regions. Raises Failure if a mark was removed."""
        return regions.bodies(regions.marked(self.steps))

    def save(self) -> None:
        """Write the record."""
        told = {
            "step": self.step,
            "repository": self.repository,
            "started": self.started,
            "version": self.version,
            "exercises": {name: vars(one) for name, one in sorted(self.progress.items())},
        }
        path = os.path.join(self.directory, RECORD)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(json.dumps(told, indent=2) + "\n")
        os.replace(f"{path}.new", path)
        _give(path, self.directory)


def start(course: Course, repository: str, step: int, directory: str) -> Copy:
    """Cut the copy for the lab of ``step`` into ``directory``, which must not be there, or empty.

    Raises Failure otherwise.
    """
    exercises = course.of_step(step)
    if os.path.isdir(directory) and os.listdir(directory):
        hint = f"Name another directory, or go on there: mydocker lab -C {directory} check"
        raise Failure(f"{directory}: is there, and not empty", hint)
    try:
        _cut(course, repository, step, exercises, directory)
    except OSError as error:
        raise Failure(f"{error.filename or directory}: {error.strerror}") from None
    copy = Copy(os.path.abspath(directory), step, repository, _now(), version(repository))
    copy.save()
    _give_all(copy.directory)
    return copy


def _cut(
    course: Course, repository: str, step: int, exercises: Iterable[Exercise], directory: str
) -> None:
    ours = os.path.join(repository, "steps")
    steps = os.path.join(directory, "steps")
    os.makedirs(directory, exist_ok=True)
    shutil.copytree(ours, steps, ignore=shutil.ignore_patterns("__pycache__"))
    names = [exercise.id for exercise in exercises]
    for path, text in regions.marked(ours).items():
        if any(region.exercise in names for region in regions.find(text, path)):
            _write(os.path.join(steps, path), regions.emptied(text, names))
    shutil.copy2(os.path.join(repository, MANIFEST), directory)
    _write(os.path.join(directory, ".gitignore"), "".join(_IGNORED))
    _write(os.path.join(directory, "README.md"), _readme(course, repository, step, directory))
    venv = os.environ.get("MYDOCKER_VENV") or os.path.join(repository, ".venv")
    launcher = os.path.join(directory, "mydocker")
    venv = os.path.abspath(venv)
    _write(launcher, _LAUNCHER.format(repository=repository, venv=venv))
    os.chmod(launcher, 0o755)
    os.symlink(venv, os.path.join(directory, ".venv"))


def _readme(course: Course, repository: str, step: int, directory: str) -> str:
    about = course.step(step)
    doors = "steps/01-namespaces/mydocker/kernel"
    lines = [
        f"# Lab {step:02d}",
        "",
        f"{about.title}.",
        "",
        f"The chapter is {repository}/{about.chapter}. In this copy of the steps some pieces are",
        "missing, each between `# lab` and `# end lab`: what you write there is what counts.",
        "",
        "The code around a piece and the docstrings say what it is given and what it returns. What",
        "asks the kernel for something goes through the functions of the modules `syscalls`",
        f"(mount, setns, …) and `files` (write, mkdir, …) in `{doors}`, each",
        "with a `why` for `--explain`. What you need is imported already. What your code prints is",
        "shown where a check fails.",
        "",
        "```sh",
        "sudo ./mydocker lab check          # all exercises, or one: lab check "
        f"{step}.1; --watch goes on",
        "./mydocker lab hint                # a hint; again for one that says more",
        "./mydocker lab status              # how far you are",
        f"sudo python3 {about.folder}/main.py --help     # your own code",
        "```",
        "",
    ]
    for exercise in course.of_step(step):
        size = f"{exercise.minutes} minutes, {exercise.points} points"
        lines += [f"## {exercise.id} {exercise.title}", "", f"{exercise.goal} ({size})", ""]
        lines += [f"- `{path}`, line {line}" for path, line, _ in places(directory, exercise)]
        lines += [""]
    return "\n".join(lines)


def places(directory: str, exercise: Exercise) -> list[tuple[str, int, Region]]:
    """Where an exercise is: file below ``directory``, line (from 1), and the region."""
    files = regions.marked(os.path.join(directory, "steps"))
    return [
        (f"steps/{path}", region.first + 1, region)
        for path, text in files.items()
        for region in regions.find(text, path)
        if region.exercise == exercise.id
    ]


def default_directory(step: int) -> str:
    """Where a copy is cut if nothing is said: here, or beside the copy that we are in."""
    return os.path.join(os.path.dirname(_above()), f"lab-{step:02d}")


def _above() -> str:
    """The directory of the copy that we are in; "" if we are in none."""
    above = os.getcwd()
    while not os.path.exists(os.path.join(above, RECORD)):
        if above == "/":
            return ""
        above = os.path.dirname(above)
    return above


def find(directory: str = "", step: int | None = None) -> Copy:
    """The copy in ``directory``; without one: that we are in, or that of the folders lab-* here.

    Of several here, the lab of ``step``, else the last one used. Raises Failure if there is none.
    """
    if directory:
        return read(directory)
    if above := _above():
        return read(above)
    here = [name for name in os.listdir() if os.path.exists(os.path.join(name, RECORD))]
    here.sort(key=lambda name: os.stat(os.path.join(name, RECORD)).st_mtime)
    found = [read(os.path.abspath(name)) for name in here]
    fitting = [copy for copy in found if step in (None, copy.step)]
    if not fitting:
        which = f"{step:02d}" if step else "01"
        raise Failure("no lab was started here", f"Begin: mydocker lab start {which}")
    return fitting[-1]


def read(directory: str) -> Copy:
    """The copy in ``directory``. Raises Failure if it is none."""
    path = os.path.join(directory, RECORD)
    try:
        with open(path, encoding="utf-8") as file:
            told: dict[str, Any] = json.load(file)
        progress = {name: Progress(**one) for name, one in told["exercises"].items()}
        step, repository = int(told["step"]), str(told["repository"])
    except FileNotFoundError:
        hint = "Begin one there: mydocker lab start 01 DIRECTORY"
        raise Failure(f"{directory}: no lab was started there", hint) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"{path}: {error}", "It was changed: start the lab anew") from None
    begun, cut = told.get("started", ""), told.get("version", "")
    return Copy(os.path.abspath(directory), step, repository, begun, cut, progress)


def course_of(copy: Copy) -> Course:
    """The manifest of the repository that the copy was cut from. Raises Failure if it is gone."""
    return load(copy.repository)


def reset(copy: Copy, exercises: Iterable[Exercise]) -> list[str]:
    """Empty the regions of ``exercises`` again, and mend the files around them.

    What was written in the other regions stays. What is replaced is kept in .before-reset. Returns
    the files that were changed, as paths from the copy.
    """
    names = {exercise.id for exercise in exercises}
    ours = os.path.join(copy.repository, "steps")
    changed = []
    for path, text in regions.marked(ours).items():
        if not any(region.exercise in names for region in regions.find(text, path)):
            continue
        place = os.path.join(copy.steps, path)
        theirs = _text(place)
        fresh = regions.emptied(_with_theirs(path, text, theirs, copy.step, names), names)
        if fresh != theirs:
            kept = os.path.join(copy.directory, _BEFORE, path)
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            _write(kept, theirs)
            _write(place, fresh)
            changed.append(f"steps/{path}")
    for name in names:
        copy.progress.pop(name, None)
    copy.save()
    _give_all(copy.directory)
    return changed


def _with_theirs(path: str, ours: str, theirs: str, step: int, but: set[str]) -> str:
    """Our file with the student's other regions, as far as their marks are whole."""
    others = [r.exercise for r in regions.find(ours, path) if r.exercise.startswith(f"{step}.")]
    empty = regions.emptied(ours, others)
    try:
        bodies = regions.bodies({path: theirs})
        kept = {key: body for key, body in bodies.items() if key[0] not in but}
        return regions.grafted(path, empty, kept)
    except Failure:
        return empty


def version(repository: str) -> str:
    """A digest of all that a student must leave as it is: another one, and it was changed since."""
    steps = os.path.join(repository, "steps")
    digest = hashlib.sha256()
    for path in sorted(regions.sources(steps)):
        skeleton = regions.skeleton(_text(os.path.join(steps, path)))
        digest.update(f"{path}\0{skeleton}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def changes(directory: str, repository: str) -> list[str]:
    """What was changed outside of the regions, one line each: it does not count, or is refused.

    Python files of the steps; tests and manifest, if the copy has them.
    """
    ours, theirs = os.path.join(repository, "steps"), os.path.join(directory, "steps")
    own, other = set(regions.sources(ours)), set(regions.sources(theirs))
    found = [f"steps/{path}: is gone" for path in own - other]
    found += [f"steps/{path}: is new" for path in other - own]
    for path in own & other:
        if difference := _difference(path, _text(f"{ours}/{path}"), _text(f"{theirs}/{path}")):
            found.append(f"steps/{path}: {difference}")
    for top in ("tests", "labs"):
        for path in regions.sources(os.path.join(directory, top)):
            place = os.path.join(repository, top, path)
            if not os.path.exists(place):
                found.append(f"{top}/{path}: is new")
            elif _text(place) != _text(os.path.join(directory, top, path)):
                found.append(f"{top}/{path}: was changed")
    manifest = os.path.join(directory, MANIFEST)
    if os.path.exists(manifest) and _text(manifest) != _text(os.path.join(repository, MANIFEST)):
        found.append(f"{MANIFEST}: was changed")
    return sorted(found)


def _difference(path: str, ours: str, theirs: str) -> str:
    if ours == theirs:
        return ""
    try:
        same = regions.skeleton(theirs) == regions.skeleton(ours)
    except Failure as failure:
        return failure.message.removeprefix(f"{path}: ")
    return "" if same else "was changed outside of the exercises"


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")


def _give(path: str, like: str) -> None:
    """What ``sudo`` writes into a user's copy stays the user's."""
    if os.geteuid() == 0:
        owner = os.stat(like)
        os.lchown(path, owner.st_uid, owner.st_gid)


def _give_all(directory: str) -> None:
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not (uid.isdigit() and gid.isdigit()):
        return
    os.lchown(directory, int(uid), int(gid))
    for top, below, names in os.walk(directory):
        for name in (*below, *names):
            os.lchown(os.path.join(top, name), int(uid), int(gid))
