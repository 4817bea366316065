"""``--tell FILE``: what each test did, one JSON line as soon as it is known.

Whoever judges a student's code reads it while the suite runs: a test that hangs has begun, and its
end is missing. A report that is written at the end would not be there.

The code that is judged runs in this very process, too, and may wish to have another report. So,
where the judge has left a key in ``FILE.key``:

* it is read, and removed, before that code is there; each line ends in a code made with it;
* the tests that will be run are told before the first;
* a test is skipped by tests, not by the code that is tested;
* *canaries* are run, tests that must fail; if one does not, pytest was tampered with. One is at
  the end; others are twins of tests that the judge has chosen, which run all of their test first;
* what pytest, the tests and Python's own modules consist of is compared with what it was before.
"""

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sandbox import tampering, twins


def _kind(error: pytest.ExceptionInfo[BaseException]) -> str:
    """The name of an exception's class; all those by which our code says no are one."""
    from mydocker.kernel.errors import Failure

    return "Failure" if isinstance(error.value, Failure) else error.typename


def _teller(path: Path, key: bytes) -> Callable[..., None]:
    """The function that writes a line. Key and file are its own, and nobody's attributes."""
    file = path.open("w", buffering=1, encoding="utf-8", errors="backslashreplace")
    number, dumps, new = 0, json.dumps, hmac.new

    def tell(**told: Any) -> None:
        nonlocal number
        line = dumps(told)
        if key:
            line += " " + new(key, f"{number} {line}".encode(), "sha256").hexdigest()
        number += 1
        file.write(line + "\n")

    return tell


CANARY = "test_that_must_fail"


class Teller:
    """The pytest plugin that writes them.

    Its hooks are functions that share variables, and it has no attributes that they would ask: who
    exchanges one of its own does not change what is told.
    """

    def __init__(self, path: Path) -> None:
        place = path.with_name(f"{path.name}.key")
        judged = place.exists()
        key, *chosen = place.read_text().split() if judged else [""]
        if judged:
            place.unlink()
        tell = _teller(path, bytes.fromhex(key))
        steps = ""
        canaries: set[pytest.Item] = set()
        passed: set[str] = set()
        failed: set[str] = set()  # of the canaries
        before: tampering.Photograph = {}
        changed: list[str] = []

        def modify_items(config: pytest.Config, items: list[pytest.Item]) -> None:
            nonlocal steps
            if not judged:
                return
            steps = str(Path(config.getoption("--steps")).resolve())
            tell(what="collected", tests=[item.nodeid for item in items])
            added = _canaries(items, chosen)
            canaries.update(added)
            passed.update(item.nodeid for item in added if item.name == CANARY)
            before.update(tampering.photograph())

        def begun(nodeid: str) -> None:
            tell(test=nodeid, what="begun")

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def reported(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
            from_steps = _is_from(steps, call)  # asked first: pytest exchanges unittest's SkipTest
            report: pytest.TestReport = yield
            if item in canaries:
                if call.when == "call" and report.failed:
                    failed.add(item.nodeid)
                return report
            by_code = judged and report.skipped and from_steps
            if report.failed or by_code or (report.skipped and call.when != "call"):
                tell(
                    test=item.nodeid,
                    what="failed" if report.failed or by_code else "skipped",
                    during=call.when,
                    error=_kind(call.excinfo) if call.excinfo else "",
                    text=str(call.excinfo) if by_code else report.longreprtext,
                    printed=report.capstdout[-2000:],
                )
            elif report.when == "call":
                what = "passed" if report.passed else "skipped"
                if report.passed:
                    passed.add(item.nodeid)
                tell(test=item.nodeid, what=what, text=report.longreprtext)
            return report

        def ended(nodeid: str) -> None:
            tell(test=nodeid, what="ended")
            changed.extend(tampering.changes(before))

        def collected(report: pytest.CollectReport) -> None:
            if report.failed:
                tell(test=report.nodeid, what="uncollected", text=report.longreprtext)

        def finished(exitstatus: int) -> None:
            forged = ""
            if {canary.nodeid for canary in canaries} & passed - failed:
                forged = "a test that must fail has not failed: pytest was tampered with"
            if changed:
                forged = f"what judges was changed: {', '.join(dict.fromkeys(changed[:3]))}"
            tell(what="finished", exit_code=int(exitstatus), forged=forged)

        self.pytest_collection_modifyitems = modify_items
        self.pytest_runtest_logstart = begun
        self.pytest_runtest_makereport = reported
        self.pytest_runtest_logfinish = ended
        self.pytest_collectreport = collected
        self.pytest_sessionfinish = finished


def _is_from(steps: str, call: pytest.CallInfo[None]) -> bool:
    """True if the code that is judged raised it."""
    if call.excinfo is None:
        return False
    return any(str(one.path).startswith(f"{steps}/") for one in call.excinfo.traceback)


def _canaries(items: list[pytest.Item], chosen: list[str]) -> list[pytest.Item]:
    """Add the tests that must fail to ``items``: the twin of one test for each of ``chosen``, which
    are names without their parameters, or with; and one at the end."""
    added: list[pytest.Item] = []
    for item in list(items):
        test = item.nodeid.removeprefix("tests/")
        found = next((one for one in chosen if one in (test, test.partition("[")[0])), "")
        if found and isinstance(item, pytest.Function):
            chosen.remove(found)
            added.append(_twin(item))
            items.insert(items.index(item) + 1, added[-1])
    if items and items[-1].parent is not None:
        last = pytest.Function.from_parent(items[-1].parent, name=CANARY, callobj=_must_fail)
        items.append(last)
        added.append(last)
    return added


def _twin(item: pytest.Function) -> pytest.Item:
    """The same test, with the same name, that fails in any case."""
    twin: pytest.Item = pytest.Function.from_parent(
        item.parent,
        name=item.name,
        callspec=getattr(item, "callspec", None),
        callobj=twins.failing(item.obj),
        fixtureinfo=item._fixtureinfo,
        originalname=item.originalname,
    )
    return twin


def _must_fail() -> None:
    assert CANARY == ""
