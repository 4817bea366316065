"""From what a suite saw to a verdict: which test speaks of which exercise, and when it is decided.

The suite is one that only says what it was told to; what it is asked to run is looked at, too.
"""

from collections.abc import Iterable, Mapping

import pytest
from labs.patches import ROOT

from mydocker.labs.judging import Bounds, Run, Seen, Suite
from mydocker.labs.manifest import Exercise
from mydocker.labs.verdicts import CRASH, PASSED, SKIPPED, TIMEOUT, WRONG, Judge, Verdict


def exercise(name: str, *tests: str) -> Exercise:
    return Exercise(name, "A title", "A goal", 10, 10, 1, tests, ("the first hint",))


class Scripted(Suite):
    """Gives one run after the other."""

    def run(
        self, files: Mapping[str, str], tests: Iterable[str], canaries: Iterable[str] = ()
    ) -> Run:
        ASKED.append(tuple(tests))
        return RUNS.pop(0)


ASKED: list[tuple[str, ...]] = []
RUNS: list[Run] = []


def judged(exercises: list[Exercise], *runs: Run) -> tuple[list[Verdict], list[tuple[str, ...]]]:
    """The verdicts, and which tests were asked for, run by run."""
    ASKED.clear()
    RUNS[:] = runs
    judge = Judge(Scripted(str(ROOT), "/nowhere", Bounds()))
    return judge.run(exercises, {}), list(ASKED)


def outcomes(verdicts: list[Verdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]


def run(*seen: tuple[str, str], log: str = "", finished: bool = True) -> Run:
    return Run(tuple(Seen(test, outcome, "E   assert 1 == 2") for test, outcome in seen), log,
               finished)  # fmt: skip


FIRST = exercise("1.1", "one/test_a.py::test_x")
SECOND = exercise("1.2", "one/test_a.py::test_xy", "one/test_b.py::test_x")


@pytest.mark.parametrize(
    ("seen", "first", "second"),
    [
        (("one/test_a.py::test_x", "failed"), WRONG, PASSED),
        (("one/test_a.py::test_x[1]", "failed"), WRONG, PASSED),
        (("one/test_a.py::test_xy", "failed"), PASSED, WRONG),
        (("one/test_a.py::test_xy[1]", "failed"), PASSED, WRONG),
        (("one/test_b.py::test_x", "failed"), PASSED, WRONG),
        (("one/test_b.py", "failed"), PASSED, WRONG),  # a file that could not be read
        (("one/test_a.py", "failed"), WRONG, WRONG),
        (("one/test_b.py::test_other", "failed"), PASSED, PASSED),
        (("one/test_x.py", "failed"), PASSED, PASSED),
    ],
)
def test_whose_a_test_is(seen: tuple[str, str], first: str, second: str) -> None:
    """The first letters of a name are not the name; its parameters are; a file is all in it."""
    others = [(test, "passed") for test in (*FIRST.tests, *SECOND.tests)]
    verdicts, asked = judged([FIRST, SECOND], run(*others, seen))
    assert outcomes(verdicts) == [first, second]
    assert len(asked) == 1


def test_what_hung_is_not_run_again_and_the_others_are() -> None:
    hung = run((FIRST.tests[0], "hung"), finished=False)
    rest = run(*[(test, "passed") for test in SECOND.tests])
    verdicts, asked = judged([FIRST, SECOND], hung, rest)
    assert outcomes(verdicts) == [TIMEOUT, PASSED]
    assert asked == [FIRST.tests + SECOND.tests, SECOND.tests]


def test_what_passed_before_all_ended_may_fail_yet() -> None:
    """One of its two tests has passed: that decides nothing."""
    killed = run((SECOND.tests[0], "passed"), (FIRST.tests[0], "ended"), finished=False)
    rest = run((SECOND.tests[0], "passed"), (SECOND.tests[1], "failed"))
    verdicts, asked = judged([SECOND, FIRST], killed, rest)
    assert outcomes(verdicts) == [WRONG, CRASH]
    assert asked[1] == SECOND.tests


def test_of_its_parameters_some_are_not_all() -> None:
    """Who ends the session after the first has not passed the others."""
    first = (f"{FIRST.tests[0]}[1]", "passed")
    killed = run(first, (SECOND.tests[0], "ended"), finished=False)
    rest = run(first, (f"{FIRST.tests[0]}[2]", "failed"))
    verdicts, asked = judged([FIRST, SECOND], killed, rest)
    assert outcomes(verdicts) == [WRONG, CRASH]
    assert asked[1] == FIRST.tests


def test_what_failed_before_all_ended_has_failed() -> None:
    killed = run((SECOND.tests[0], "failed"), (FIRST.tests[0], "ended"), finished=False)
    verdicts, asked = judged([SECOND, FIRST], killed)
    assert outcomes(verdicts) == [WRONG, CRASH]
    assert len(asked) == 1


@pytest.mark.parametrize("finished", [True, False])
def test_of_whom_nothing_ran_it_is_no_success(finished: bool) -> None:
    """A student's code can end the suite before its tests, and with exit code 0."""
    nothing = run(log="the last\nwords", finished=finished)
    verdicts, asked = judged([FIRST], nothing)
    assert outcomes(verdicts) == [CRASH] and verdicts[0].observed == ("the last", "words")
    assert verdicts[0].points == 0
    passed = run((FIRST.tests[0], "passed"))
    verdicts, asked = judged([FIRST, SECOND], passed, nothing)
    assert outcomes(verdicts) == [PASSED, CRASH]
    assert asked[1:] == [SECOND.tests]


@pytest.mark.parametrize("finished", [True, False])
def test_half_of_its_tests_is_no_success(finished: bool) -> None:
    half = run((SECOND.tests[0], "passed"), finished=finished)
    verdicts, _ = judged([SECOND], half)
    assert outcomes(verdicts) == [CRASH]


def test_skipped_is_not_passed() -> None:
    """Unless other tests of it were run."""
    all_skipped = run(*[(test, "skipped") for test in SECOND.tests])
    verdicts, _ = judged([SECOND], all_skipped)
    assert outcomes(verdicts) == [SKIPPED] and verdicts[0].points == 0
    verdicts, _ = judged([SECOND], run((SECOND.tests[0], "skipped"), (SECOND.tests[1], "passed")))
    assert outcomes(verdicts) == [PASSED] and verdicts[0].points == 10
