#!/usr/bin/env python3
"""What does the warm process save a program with threads? Chapter: appendix-fast-start.

    sudo benchmarks/warm.py [--rounds N]

The same three things are asked of the command line and of the warm process, in turn in each round.
Shown are the medians and the fastest, in milliseconds, and what the first call takes, which begins
the warm process. Nothing stays on the machine.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

from private import ROOT, in_private_place, took
from run import own_memory

from layers import stack

MAIN = [sys.executable, "-E", "-s", "-S", str(ROOT / "steps/05-cli/main.py")]


def milliseconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def measure(given: argparse.Namespace) -> None:
    """All rounds, and a table."""
    stack(5)
    from mydocker.engine.warm.client import Warm

    def command(*words: str) -> float:
        return took([*MAIN, *words], {})[1]

    command("run", "-d", "--name", "box", "--net", "none", "busybox", "sleep", "100000")
    command("create", "--name", "short", "--net", "none", "busybox", "true")
    root, run = os.environ["MYDOCKER_ROOT"], os.environ["MYDOCKER_RUN"]
    with Warm(root, run, cgroup_parent=os.environ["MYDOCKER_CGROUP_PARENT"]) as warm:
        print(f"the first call: {milliseconds(lambda: warm.call('pid')):.0f} ms")
        asked: dict[str, tuple[tuple[str, ...], Callable[[], object]]] = {
            "inspect": (("inspect", "box"), lambda: warm.call("inspect", "box")),
            "exec, true": (
                ("exec", "box", "true"),
                lambda: warm.call("exec", "box", {"arguments": ["true"]}),
            ),
            "start, true": (("start", "short"), lambda: warm.call("start", "short")),
        }
        times: dict[str, list[tuple[float, float]]] = {title: [] for title in asked}
        for turn in range(given.rounds + 1):
            for title, (words, call) in asked.items():
                by_command = command(*words)
                warm.call("wait", "short")  # it has ended, and may be started again
                by_call = milliseconds(call)
                warm.call("wait", "short")
                times[title] += [(by_command, by_call)] if turn else []
        memory = own_memory("engine.warm")
    print(f"its memory (PSS): {memory:.1f} MiB")
    print(f"{'median (fastest), ms':24}{'a command':>16}{'a call':>16}")
    for title, pairs in times.items():
        shown = [f"{statistics.median(c):.1f} ({min(c):.1f})" for c in zip(*pairs, strict=True)]
        print(f"{title:24}{shown[0]:>16}{shown[1]:>16}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    in_private_place(lambda place: measure(given))


if __name__ == "__main__":
    main()
