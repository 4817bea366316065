"""``mydocker lab list``: every lab with its title, and its exercises below it."""

import re
import subprocess
import sys
from pathlib import Path

from labs.patches import ROOT
from sandbox.patience import patience

from mydocker.labs import manifest


def test_every_exercise_stands_below_the_title_of_its_lab(tmp_path: Path) -> None:
    words = [sys.executable, "-ESs", str(ROOT / "steps/05-cli/main.py"), "lab", "list"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=patience(60))
    assert (done.returncode, done.stderr) == (0, "")
    below: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if title := re.fullmatch(r"Lab (\d\d)  (.+)", line):
            below[f"{title[1]} {title[2]}"] = []
        elif exercise := re.match(r" +(\d\.\d)\b", line):
            assert below, f"{line!r} stands below no lab"
            below[list(below)[-1]].append(exercise[1])
    course = manifest.load(str(ROOT))
    assert below == {
        f"{step.number:02d} {step.title}": [one.id for one in course.of_step(step.number)]
        for step in course.steps
        if any(one.step == step.number for one in course.exercises)  # a new step has none yet
    }
