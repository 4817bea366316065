"""Puts faults into the code, one at a time, and says which of them the tests see.

Each fault gets a copy of the repository of its own, and there the tests of its step run until one
fails or the time is over. This is no part of the suite: it takes an hour or two, as root. What is
known is kept in a file, so that it can be stopped and started again at any time.

  tests/mutations/run                         try all faults of the list that were not tried yet
  tests/mutations/run --only rm-lock --again  one of them, whatever is known of it
  tests/mutations/run --report                only tell what is known
  tests/mutations/run --random 60             make 60 faults at random, and add them to the list

A fault that hung is seen; one that changes nothing that could be seen says in the list why not.
"""

import argparse
import json
import random
import shlex
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

from mutations import faults, generating, trying
from mutations.faults import Fault, Lost
from mutations.trying import HUNG, LIVED, SEEN, Result

HERE = Path(__file__).parent


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.random:
        _add(options.list, options.random, options.seed)
        return
    listed = faults.read(options.list)
    unknown = set(options.only) - {fault.name for fault in listed}
    if unknown:
        sys.exit(f"mutations: not in the list: {', '.join(sorted(unknown))}")
    wanted = [fault for fault in listed if not options.only or fault.name in options.only]
    results = _results(options.results)
    if not options.report:
        for fault in wanted:
            if not fault.equal and (options.again or fault.key not in results):
                _try(fault, options, results)
    _report(wanted, results)


def _options() -> argparse.Namespace:
    what, _, how = (__doc__ or "").partition("\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("run", description=what, epilog=how, formatter_class=form)
    add = parser.add_argument
    add("--list", type=Path, default=HERE / "faults.toml", help="the faults: a TOML file")
    add("--results", type=Path, default=HERE / "results.jsonl", help="what is known of them")
    add("--only", nargs="+", default=[], metavar="NAME", help="only these")
    add("--again", action="store_true", help="also what was tried before")
    add("--report", action="store_true", help="run nothing")
    add("--seconds", type=float, default=120, help="the time of each (default: 120)")
    add("--tests", nargs="+", default=[], metavar="FILE", help="these, not those of its step")
    add("--through", default="", metavar="COMMAND", help="put before ./test, as `nice -n 19`")
    add("--random", type=int, default=0, metavar="COUNT", help="make new ones, and run nothing")
    add("--seed", type=int, default=random.randrange(10**6), help="of --random")
    return parser.parse_args()


def _add(path: Path, count: int, seed: int) -> None:
    print(f"seed: {seed}")
    made = list(generating.at_random(trying.STEPS, count, seed))
    before = path.read_text().rstrip() + "\n\n" if path.exists() else ""
    path.write_text(before + faults.written(made))
    faults.read(path)


def _results(path: Path) -> dict[str, Result]:
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        told = json.loads(line)
        key = told.pop("fault")
        found[key] = Result(**told)
    return found


def _try(fault: Fault, options: argparse.Namespace, results: dict[str, Result]) -> None:
    print(f"{fault.name:24} ", end="", flush=True)
    try:
        result = trying.attempt(fault, options.seconds, shlex.split(options.through), options.tests)
    except Lost as lost:
        print(f"lost: {lost}")
        return
    results[fault.key] = result
    print(f"{result.outcome:7} {result.seconds:5.0f} s  {result.test}", flush=True)
    if result.outcome != trying.UNCLEAR and not options.tests:  # else it is tried again
        with options.results.open("a") as file:
            file.write(json.dumps({"fault": fault.key, **asdict(replace(result))}) + "\n")


def _report(wanted: list[Fault], results: dict[str, Result]) -> None:
    equal = [fault for fault in wanted if fault.equal]
    known = [(fault, results[fault.key]) for fault in wanted if fault.key in results]
    known = [(fault, result) for fault, result in known if not fault.equal]
    print()
    for fault, result in known:
        if result.outcome not in (SEEN, HUNG):
            print(f"{result.outcome}: {fault.name} ({fault.file}: {fault.why})")
    for step in sorted({fault.step for fault in wanted}):
        _line(step, [result for fault, result in known if fault.step == step])
    _line("all", [result for _, result in known])
    print(f"equal in effect: {len(equal)}; not tried: {len(wanted) - len(known) - len(equal)}")


def _line(name: str, results: list[Result]) -> None:
    count = {what: sum(one.outcome == what for one in results) for what in (SEEN, HUNG, LIVED)}
    seen = count[SEEN] + count[HUNG]
    print(f"{name:14} seen {seen:3} (hung {count[HUNG]}) of {len(results):3}, lived {count[LIVED]}")


if __name__ == "__main__":
    main()
