#!/usr/bin/env python3
"""What does each of the tricks save that make a start fast? Chapter: appendix-fast-start.

    sudo benchmarks/tricks.py [--rounds N] [--only 01|05] [--json FILE]

Copies of the steps are made, each without one of the tricks, and one without any. Each copy starts
the same containers, all in turn in each round, so that a slow moment of the machine hits all alike.
Shown are medians: the processor time of the command, which hardly depends on what else the machine
does, how much more that is than with all tricks, and in brackets the time that passed. Nothing
stays on the machine.
"""

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path

from private import ROOT, in_private_place, took

PYTHON = [sys.executable, "-E", "-s", "-S"]
COMMANDS = {
    "01: run true": ("01-namespaces", ["run", "true"]),
    "05: run --rm --net none busybox true": (
        "05-cli",
        ["run", "--rm", "--net", "none", "busybox", "true"],
    ),
}
EVERYTHING = "as it is"

# kernel/records.py, as it would be with the standard library's dataclasses
DATACLASSES = '''"""Records by :mod:`dataclasses`, to measure what they cost."""

import dataclasses

from mydocker.kernel.own_records import *
from dataclasses import field, replace


def record(cls):
    return _fitted(dataclasses.dataclass(frozen=True)(cls))


def mutable_record(cls):
    return _fitted(dataclasses.dataclass(cls))


def _fitted(cls):
    cls._fields = tuple(one.name for one in dataclasses.fields(cls))
    cls._types = {**getattr(cls, "_types", {}), **cls.__annotations__}
    cls._makers = {}
    return cls


def fields(one):
    return one._fields
'''


def without(steps: Path, trick: str) -> None:
    """Take one trick out of a copy of the steps."""
    fast_start = steps / "fast_start.py"
    if trick == "records":
        records = next(steps.glob("*/mydocker/kernel/records.py"))
        records.rename(records.with_name("own_records.py"))
        records.write_text(DATACLASSES)
    elif trick == "the file fast_start.py":
        fast_start.unlink()
    else:
        line = {
            "the collector's threshold": ("    gc.set_threshold(100_000)\n", ""),
            "stand-ins": ("    import_click()\n", "    import click\n"),
            "the snapshot": ("    use_snapshot(directory, step)\n", ""),
        }[trick]
        text = fast_start.read_text()
        if text.count(line[0]) != 1:
            raise SystemExit(f"{fast_start}: {trick}: has not exactly one line {line[0].strip()}")
        fast_start.write_text(text.replace(*line))


VARIANTS: dict[str, list[str]] = {
    EVERYTHING: [],
    "without records": ["records"],
    "without stand-ins": ["stand-ins"],
    "without the snapshot": ["the snapshot"],
    "without the collector's threshold": ["the collector's threshold"],
    "without fast_start.py": ["the file fast_start.py"],
    "without any": ["records", "the file fast_start.py"],
}


def copies(place: Path) -> dict[str, Path]:
    """A copy of the steps for each variant."""
    found = {}
    for number, (name, tricks) in enumerate(VARIANTS.items()):
        steps = place / f"copy{number}" / "steps"
        shutil.copytree(ROOT / "steps", steps, ignore=shutil.ignore_patterns("__pycache__"))
        for trick in tricks:
            without(steps, trick)
        found[name] = steps
    return found


def measure(place: Path, given: argparse.Namespace) -> None:
    """All variants in turn, so many times, and a table."""
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    wanted = {title: what for title, what in COMMANDS.items() if title.startswith(given.only)}
    steps = copies(place)
    for turn in range(-2, given.rounds):  # the first ones compile, and write the snapshots
        for title, (folder, words) in wanted.items():
            for name, copy in steps.items():
                taken = took([*PYTHON, str(copy / folder / "main.py"), *words], {})
                if turn >= 0:
                    times.setdefault((title, name), []).append(taken)
    rows = {
        title: {
            name: [statistics.median(column) for column in zip(*times[title, name], strict=True)]
            for name in VARIANTS
        }
        for title in wanted
    }
    show(rows)
    sys.stdout.flush()  # what works in the private place ends without
    if given.json:
        Path(given.json).write_text(json.dumps(rows, indent=2) + "\n")


def show(rows: dict[str, dict[str, list[float]]]) -> None:
    """A line for each variant, and a column for each command."""
    print(f"{'milliseconds':36}{'  '.join(title.ljust(20) for title in rows)}")
    for name in VARIANTS:
        shown = []
        for title, row in rows.items():
            more = row[name][0] - row[EVERYTHING][0]
            difference = f"{more:+.1f}" if name != EVERYTHING else ""
            text = f"{row[name][0]:5.1f} {difference:>6} ({row[name][1]:.0f})"
            shown.append(text.ljust(max(len(title), 20)))
        print(f"{name:36}{'  '.join(shown)}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=["01", "05"], default="", help="one step's command")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    given = parser.parse_args()
    in_private_place(lambda place: measure(place, given))


if __name__ == "__main__":
    main()
