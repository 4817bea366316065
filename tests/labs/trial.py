"""Judge several texts of exercises, one after the other: a program, so that two can run at once.

Reads a JSON list of ``{"name", "exercise", "files": {path: text}}``; writes a list of what came
of each: outcome, hint, what was observed, and the tests that failed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

STEPS = Path(__file__).resolve().parents[2] / "steps"


def main() -> None:
    sys.path.insert(0, str(STEPS))
    from layers import stack

    stack(5, "learn")
    print(json.dumps([tried(trial) for trial in json.load(sys.stdin)]))


def tried(trial: dict[str, Any]) -> dict[str, Any]:
    from mydocker.container.commandline import default_run
    from mydocker.labs import manifest, verdicts
    from mydocker.labs.judging import Bounds, Suite

    repository = manifest.default_repository()
    exercise = manifest.load(repository).exercise(trial["exercise"])
    # What is wrong may show by waiting in vain: not for as long as what is right may take.
    factor = float(os.environ.get("MYDOCKER_TEST_PATIENCE", "1"))
    patience = factor if trial["name"] == "ours" else factor * 0.25
    bounds = Bounds(seconds=60 * factor)
    suite = Suite(repository, default_run(), bounds, patience=str(patience))
    run = suite.run(trial["files"], exercise.tests)
    verdict = verdicts.verdict(exercise, run.seen, run.log)
    return {
        "name": trial["name"],
        "outcome": verdict.outcome,
        "hint": verdict.hint,
        "observed": list(verdict.observed),
        "failed": [one.test for one in run.seen if one.outcome in verdicts.BAD],
        "texts": [one.text for one in run.seen if one.outcome in verdicts.BAD],
    }


if __name__ == "__main__":
    main()
