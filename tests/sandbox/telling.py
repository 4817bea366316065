"""``--tell FILE``: what each test did, one JSON line as soon as it is known.

Whoever judges a student's code reads it while the suite runs: a test that hangs has begun, and its
end is missing. A report that is written at the end would not be there.
"""

import json
from pathlib import Path
from typing import Any

import pytest


def _kind(error: pytest.ExceptionInfo[BaseException]) -> str:
    """The name of an exception's class; all those by which our code says no are one."""
    from mydocker.kernel.errors import Failure

    return "Failure" if isinstance(error.value, Failure) else error.typename


class Teller:
    """The pytest plugin that writes them."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1, encoding="utf-8", errors="backslashreplace")

    def tell(self, **told: Any) -> None:
        self._file.write(json.dumps(told) + "\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tell(test=nodeid, what="begun")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        report: pytest.TestReport = yield
        if report.failed or (report.skipped and call.when != "call"):
            error = _kind(call.excinfo) if call.excinfo else ""
            self.tell(
                test=item.nodeid,
                what="failed" if report.failed else "skipped",
                during=call.when,
                error=error,
                text=report.longreprtext,
                printed=report.capstdout[-2000:],
            )
        elif report.when == "call":
            what = "passed" if report.passed else "skipped"
            self.tell(test=item.nodeid, what=what, text=report.longreprtext)
        return report

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.tell(test=nodeid, what="ended")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.tell(test=report.nodeid, what="uncollected", text=report.longreprtext)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.tell(what="finished", exit_code=int(exitstatus))
