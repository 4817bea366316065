"""What the suite saw, exercise by exercise: passed or not, what was observed, and which hint fits.

A hint is chosen by what was observed, and not by what is written in the student's code: there are
many ways to be right.
"""

import ast
import random
import re
from collections.abc import Iterable, Mapping, Sequence

from mydocker.kernel.records import record, replace
from mydocker.labs import regions
from mydocker.labs.judging import Run, Seen, Suite
from mydocker.labs.manifest import Exercise
from mydocker.labs.regions import Bodies

PASSED = "passed"
WRONG = "wrong"
CRASH = "crash"
TIMEOUT = "timeout"
UNWRITTEN = "unwritten"
SKIPPED = "skipped"
CHEATED = "cheated"

BAD = ("failed", "hung", "ended")
_OURS = ("AssertionError", "Failed", "Failure", "KernelError", "")
_LOOP = "Is there a loop, or a wait, for something that never comes?"
_PRINTED = 5  # lines
_STOPPED = (
    "The whole suite ended in the middle of this: is there a kill, or an exit, too many, or more in"
    " memory than fits?"
)
_ESCAPED = "What you write stays between the two marks, indented as they are, or more."
_NONE = (
    "None came where a value was needed: does every way through your code `return` what it made?"
)


@record
class Verdict:
    """Of one exercise. ``observed`` is what a test saw, in its own words; ``hint`` what that
    usually means; ``printed`` the end of what the student's code printed there; ``remark`` what
    else is to be said."""

    exercise: Exercise
    outcome: str
    test: str = ""
    observed: tuple[str, ...] = ()
    hint: str = ""
    remark: str = ""
    printed: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if it was solved."""
        return self.outcome == PASSED

    @property
    def points(self) -> int:
        """All of them or none."""
        return self.exercise.points if self.passed else 0


class Judge:
    """Judges what stands in the regions of a student's copy; the rest of the steps is ours."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.ours = regions.marked(f"{suite.repository}/steps")

    def judge(self, exercises: Sequence[Exercise], theirs: Bodies) -> list[Verdict]:
        """The verdict on each of ``exercises``. Raises Failure if nothing can be run here."""
        found: dict[str, Verdict] = {}
        for exercise in exercises:
            if not written(exercise, theirs):
                found[exercise.id] = Verdict(exercise, UNWRITTEN)
            elif wrong := self._does_not_compile(exercise, theirs):
                found[exercise.id] = wrong
        waiting = [one for one in exercises if one.id not in found]
        judged = self.run(waiting, theirs)
        failed = [verdict for verdict in judged if verdict.outcome not in (PASSED, SKIPPED)]
        if len(waiting) > 1 and len(failed) > 1:
            judged = [self._alone(v, theirs) if v in failed else v for v in judged]
        found |= {verdict.exercise.id: verdict for verdict in judged}
        return [found[exercise.id] for exercise in exercises]

    def _does_not_compile(self, exercise: Exercise, theirs: Bodies) -> Verdict | None:
        for path, text in self._files([exercise], theirs).items():
            try:
                ast.parse(text, path)
            except (SyntaxError, ValueError) as error:
                where = f"steps/{path}, line {getattr(error, 'lineno', '?')}"
                message = re.sub(r" on line \d+", "", getattr(error, "msg", str(error)))
                told = f"{type(error).__name__}: {message} ({where})"
                return _placed(Verdict(exercise, CRASH, observed=(told,)), {path: text})
            if told := regions.escaped(self.ours[path], text):
                return Verdict(exercise, CRASH, observed=(f"{told} (steps/{path})",), hint=_ESCAPED)
        return None

    def _files(self, exercises: Iterable[Exercise], theirs: Bodies) -> dict[str, str]:
        """Our files that have regions of ``exercises``, with the student's bodies in them."""
        names = {exercise.id for exercise in exercises}
        used = {key: body for key, body in theirs.items() if key[0] in names}
        paths = {path for _, path in used}
        return {path: regions.grafted(path, self.ours[path], used) for path in paths}

    def run(self, exercises: Sequence[Exercise], theirs: Bodies) -> list[Verdict]:
        """Run the tests of ``exercises`` whatever is in their regions, all at once: the suite
        starts once. What a test that hung has kept from running is run without it."""
        files = self._files(exercises, theirs)
        seen: list[Seen] = []
        waiting = list(exercises)
        log = ""
        while waiting:
            tests = list(dict.fromkeys(test for one in waiting for test in one.tests))
            run = self.suite.run(files, tests, self._canaries(waiting))
            if run.forged:
                return [Verdict(one, CHEATED, observed=(run.forged,)) for one in exercises]
            seen += run.seen
            log = run.log
            left = [one for one in waiting if not _decided(one, run)]
            if len(left) == len(waiting):
                break  # nothing at all was run: the log has to tell
            waiting = left
        return [_placed(verdict(one, seen, log), files) for one in exercises]

    def _canaries(self, exercises: Iterable[Exercise]) -> list[str]:
        """One test of each, for a mark: nobody knows which."""
        if not self.suite.canaries:
            return []
        return [random.SystemRandom().choice(exercise.tests) for exercise in exercises]

    def _alone(self, before: Verdict, theirs: Bodies) -> Verdict:
        """When several fail, one may be the reason of the others: each is tried among ours."""
        (verdict,) = self.run([before.exercise], theirs)
        if verdict.passed:
            remark = "alone it passes: another exercise that fails was in its way"
            return replace(verdict, remark=remark)
        return verdict


def written(exercise: Exercise, theirs: Bodies) -> bool:
    """Is there anything in one of its regions?"""
    own = [text for (name, _), texts in theirs.items() if name == exercise.id for text in texts]
    return any(not regions.is_unwritten(text) for text in own)


def _of(exercise: Exercise, seen: Iterable[Seen]) -> list[Seen]:
    return [one for one in seen if any(_covers(test, one.test) for test in exercise.tests)]


def _covers(test: str, seen: str) -> bool:
    """``test`` of the manifest takes in all its parameters; a file that cannot be read, all."""
    return seen == test or seen.startswith(f"{test}[") or test.startswith(f"{seen}::")


def _decided(exercise: Exercise, run: Run) -> bool:
    own = _of(exercise, run.seen)
    if any(one.outcome in BAD for one in own):
        return True
    return run.finished and _complete(exercise, own)


def _complete(exercise: Exercise, own: Sequence[Seen]) -> bool:
    """Was each of its tests seen? Who ends the session early has not passed the rest."""
    return all(any(_covers(test, one.test) for one in own) for test in exercise.tests)


def verdict(exercise: Exercise, seen: Iterable[Seen], log: str) -> Verdict:
    own = _of(exercise, seen)
    bad = [one for one in own if one.outcome in BAD]
    if not own:
        return Verdict(exercise, CRASH, observed=tuple(log.splitlines()[-3:]), hint=_STOPPED)
    if not bad:
        if all(one.outcome == "skipped" for one in own):
            told = own[0].text.strip().splitlines()[-1:] or ["its tests cannot run here"]
            return Verdict(exercise, SKIPPED, own[0].test, tuple(told))
        if not _complete(exercise, own):
            return Verdict(exercise, CRASH, observed=tuple(log.splitlines()[-3:]), hint=_STOPPED)
        return Verdict(exercise, PASSED)
    for one in bad:
        if one.outcome == "hung":
            return Verdict(exercise, TIMEOUT, one.test, ("it did not end in time",), _LOOP)
        if one.outcome == "ended":
            return Verdict(exercise, CRASH, one.test, tuple(log.splitlines()[-2:]), _STOPPED)
    crashed = [(one, what) for one in bad if (what := _crash(one))]
    if crashed:
        one, what = crashed[0]
        if f"NotImplementedError: exercise {exercise.id}:" in what:
            return Verdict(exercise, UNWRITTEN, one.test)
        hint = _meaning(exercise, one.test, what)
        return Verdict(exercise, CRASH, one.test, (what,), hint, printed=_printed(one))
    one, hint = _telling(exercise, bad)
    if not hint and one.error == "TimeoutExpired":
        return Verdict(exercise, TIMEOUT, one.test, _observed(one), _LOOP)
    hint = hint or exercise.hints[0]
    return Verdict(exercise, WRONG, one.test, _observed(one), hint, printed=_printed(one))


def _telling(exercise: Exercise, bad: Sequence[Seen]) -> tuple[Seen, str]:
    """Of the tests that failed the one that tells most, and the hint that fits it, or ""."""
    for observation in exercise.observed:
        for one in bad:
            if observation.when.search(f"{one.test}\n{one.text}"):
                return one, observation.say
    return bad[0], ""


def _placed(verdict: Verdict, files: Mapping[str, str]) -> Verdict:
    """The verdict with places of ``files``, which were tried, as the student knows them."""
    if verdict.outcome != CRASH:
        return verdict

    def told(found: re.Match[str]) -> str:
        return _in_words(found[1], int(found[2]), verdict.exercise, files) or found[0]

    return replace(verdict, observed=tuple(_WHERE.sub(told, one) for one in verdict.observed))


def _in_words(place: str, number: int, exercise: Exercise, files: Mapping[str, str]) -> str:
    """Lines are counted from the exercise on: above it, in the student's file, there may be more or
    fewer, for what is written in other exercises is not what was tried. "" for another file."""
    end = "/" + place.removeprefix("steps/")
    text = next((text for path, text in files.items() if f"/{path}".endswith(end)), "")
    lines = text.splitlines()
    if not 0 < number <= len(lines):
        return ""
    code = lines[number - 1].strip()
    for region in regions.find(text, place):
        if region.exercise == exercise.id and region.first < number <= region.last:
            return f"{place}, line {number - region.first} of yours: {code}"
    return f"{place}, not in your lines: {code}"


def _meaning(exercise: Exercise, test: str, crash: str) -> str:
    """The hint for a crash, or "": it must be about the crash, and not only about the test."""
    text = f"{test}\n{crash}"
    for observation in exercise.observed:
        found = observation.when.search(text)
        if found and found.end() > len(test) + 1:
            return observation.say
    return _NONE if "NoneType" in crash else ""


# As our programs tell it: "mydocker: internal error: TypeError: …", or from the container's side
_TOLD = re.compile(r"(?:internal error|in the container): (\w+(?:Error|Exception|Exit)\b.*)")
_STUB = re.compile(r"exercise (\d+\.\d+): .*not written yet")
_HOW = "; MYDOCKER_TRACEBACK=1 shows how it came there"
_WHERE = re.compile(r"([\w./-]+\.py), line (\d+)")
_PLACE = re.compile(r"^(\S+\.py):(\d+): in ", re.MULTILINE)
_LATE = re.compile(r"^\S*TimeoutExpired: .* after ([\d.]+) seconds.*")
_BARE = re.compile(r"^assert (not )?(None|True|False|\d+ == \d+)$")  # says nothing by itself
_FUNCTION = re.compile(r"<(?:built-in )?(?:function|method) (\S+)[^>]*>")
# What pytest says of itself, and in which characters two texts differ that it has shown already
_MORE = re.compile(r"^(Use -v|Omitting |.*use '?-vv?'? to show|Skipping |Differing items:|[-+?] )")


def _crash(seen: Seen) -> str:
    """The exception that the code under test ended with; "" if it ended well, with a wrong answer.

    A ``Failure`` is an answer: the code has said no.
    """
    if told := _TOLD.search(seen.text):
        return told[1].partition(". Please report")[0].replace(_HOW, "").rstrip()
    if stub := _STUB.search(seen.text):
        return f"NotImplementedError: {stub[0]}"
    # The library's own places say nothing; and what a door could not take, its caller gave it.
    places = [one for one in _PLACE.findall(seen.text) if "steps/" in one[0] or "tests/" in one[0]]
    if seen.error in _OURS or not places or "steps/" not in places[-1][0]:
        return ""
    above = [one for one in places if "steps/" in one[0] and "/mydocker/kernel/" not in one[0]]
    place, line = (above or places)[-1]
    path = "steps/" + place.rpartition("steps/")[2]
    what = next((line for line in _said(seen) if line.startswith(seen.error)), seen.error)
    return f"{what} ({path}, line {line})"


def _said(seen: Seen) -> list[str]:
    """The lines of pytest's report that tell the error."""
    return [line[1:].strip() for line in seen.text.splitlines() if line.startswith("E ")]


def _observed(seen: Seen) -> tuple[str, ...]:
    """The lines in which pytest says what was not as it should be."""
    said = [_LATE.sub(r"it did not end in \1 seconds", line) for line in _said(seen)]
    where = [_FUNCTION.sub(r"\1", line[2:].strip()) for line in said if line.startswith("+ ")]
    said = [line for line in said if line and not _MORE.match(line)]
    if said:
        said[0] = said[0].removeprefix("AssertionError: ").removeprefix("Failed: ")
        if _BARE.match(said[0]):
            said[1:1] = where[:1]
    told = said[:4]
    return tuple(told[:-1] if len(told) > 1 and told[-1].endswith(":") else told)


def _printed(seen: Seen) -> tuple[str, ...]:
    return tuple(seen.printed.splitlines()[-_PRINTED:])


def words(test: str) -> str:
    """A test's name as a sentence: ``a mount inside stays inside [--mount]``."""
    name = test.rpartition("::")[2].removeprefix("test_")
    name, bracket, rest = name.partition("[")
    return name.replace("_", " ") + (f" [{rest}" if bracket else "")


def points(verdicts: Iterable[Verdict]) -> int:
    """The points that were reached."""
    return sum(verdict.points for verdict in verdicts)
