"""The exercises of the labs, in a notebook: ``exercise``, ``check``, ``hint``, ``answer``.

They are those of ``mydocker lab``, from the same manifest, and judged by the same tests. Your copy
is the folder ``lab-01`` (02, …) in the project's folder: it is cut when it is first needed, and
stays when the kernel ends. ``MYDOCKER_LABS`` names another folder for the copies.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mydocker.labs import copies, manifest
from workbench.stacked import ROOT


def _place(step: int) -> Path:
    return Path(os.environ.get("MYDOCKER_LABS") or ROOT) / f"lab-{step:02d}"


def _step(name: str) -> int:
    return manifest.load(str(ROOT)).exercise(name).step


def exercise(name: str) -> Any:
    """What is to be done in the exercise ``name`` (as "1.2"), and where."""
    from IPython.display import Markdown

    one = manifest.load(str(ROOT)).exercise(name)
    files = sorted({path for path, _, _ in copies.places(str(ROOT), one)})
    where = ", ".join(f"`lab-{one.step:02d}/{path}`" for path in files)
    stars = "★" * one.difficulty
    return Markdown(  # type: ignore[no-untyped-call]
        f"**Exercise {one.id}: {one.title}** {stars} ({one.minutes} minutes, {one.points} points)"
        f"\n\n{one.goal}\n\nYours to write: {where}. Then `check({name!r})`; `hint({name!r})` "
        f"says more each time, and `answer({name!r})` shows ours."
    )


def _lab(name: str, *arguments: str) -> None:
    """Call ``mydocker lab`` for the copy, which is cut now if it is not there."""
    step = _step(name)
    place = _place(step)
    program = [sys.executable, "-ESs", str(ROOT / "steps/05-cli/main.py"), "lab"]
    if not place.exists():
        _run([*program, "start", str(step), str(place)], quiet=True)
        print(f"Your copy was cut: {place.name}. The file is in it.")
    _run([*program, "-C", str(place), *arguments])


def _run(command: list[str], *, quiet: bool = False) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if not quiet or done.returncode:
        print(done.stdout, end="")


def check(name: str) -> None:
    """Try your copy: what passes, what was observed, a hint. Needs root."""
    _lab(name, "check", name)


def hint(name: str) -> None:
    """A hint; the next call gives one more, which says more."""
    _lab(name, "hint", name)


def answer(name: str) -> None:
    """Our solution, also before yours has passed."""
    _lab(name, "solution", name, "--yes")
