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
from sandbox import tampering


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
    """The pytest plugin that writes them."""

    def __init__(self, path: Path) -> None:
        place = path.with_name(f"{path.name}.key")
        self._judged = place.exists()
        key, *self._chosen = place.read_text().split() if self._judged else [""]
        if self._judged:
            place.unlink()
        self.tell = _teller(path, bytes.fromhex(key))
        self._canaries: set[pytest.Item] = set()
        self._passed: set[str] = set()
        self._sang: set[str] = set()
        self._before: tampering.Photograph = {}
        self._changed: list[str] = []

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        if not self._judged:
            return
        self._steps = str(Path(config.getoption("--steps")).resolve())
        self.tell(what="collected", tests=[item.nodeid for item in items])
        for item in list(items):
            test = item.nodeid.removeprefix("tests/")
            names = (test, test.partition("[")[0])
            chosen = next((one for one in self._chosen if one in names), "")
            if chosen and isinstance(item, pytest.Function):
                self._chosen.remove(chosen)
                items.insert(items.index(item) + 1, self._twin(item))
        if items and items[-1].parent is not None:
            last = pytest.Function.from_parent(items[-1].parent, name=CANARY, callobj=_canary)
            self._canaries.add(last)
            self._passed.add(last.nodeid)
            items.append(last)
        self._before = tampering.photograph()

    def _twin(self, item: pytest.Function) -> pytest.Function:
        """The same test, with the same name, that fails in any case."""
        original = item.obj

        def failing(**arguments: Any) -> None:
            original(**arguments)
            _must_fail(1)

        twin: pytest.Function = pytest.Function.from_parent(
            item.parent,
            name=item.name,
            callspec=getattr(item, "callspec", None),
            callobj=failing,
            fixtureinfo=item._fixtureinfo,
            originalname=item.originalname,
        )
        self._canaries.add(twin)
        return twin

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tell(test=nodeid, what="begun")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        report: pytest.TestReport = yield
        if item in self._canaries:
            if call.when == "call" and report.failed:
                self._sang.add(item.nodeid)
            return report
        skipped_by_code = self._judged and report.skipped and self._is_from_steps(call)
        if report.failed or skipped_by_code or (report.skipped and call.when != "call"):
            error = _kind(call.excinfo) if call.excinfo else ""
            self.tell(
                test=item.nodeid,
                what="failed" if report.failed or skipped_by_code else "skipped",
                during=call.when,
                error=error,
                text=str(call.excinfo) if skipped_by_code else report.longreprtext,
                printed=report.capstdout[-2000:],
            )
        elif report.when == "call":
            what = "passed" if report.passed else "skipped"
            if report.passed:
                self._passed.add(item.nodeid)
            self.tell(test=item.nodeid, what=what, text=report.longreprtext)
        return report

    def _is_from_steps(self, call: pytest.CallInfo[None]) -> bool:
        if call.excinfo is None:
            return False
        return any(str(one.path).startswith(self._steps) for one in call.excinfo.traceback)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.tell(test=nodeid, what="ended")
        if self._judged:
            self._changed += tampering.changes(self._before)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.tell(test=report.nodeid, what="uncollected", text=report.longreprtext)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        forged = ""
        names = {canary.nodeid for canary in self._canaries}
        if names & self._passed - self._sang:
            forged = "a test that must fail has not failed: pytest was tampered with"
        if self._changed:
            forged = f"what judges was changed: {', '.join(dict.fromkeys(self._changed[:3]))}"
        self.tell(what="finished", exit_code=int(exitstatus), forged=forged)


def _canary() -> None:
    _must_fail(1)


def _must_fail(number: int) -> None:
    assert number == 2
