"""Try a fault: a copy of the repository gets it, and the tests of its step run until one fails.

Of the whole repository, as the labs judge by the steps beside their tests; and whoever goes on
writing tests meanwhile disturbs nothing.
"""

import ast
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mutations.faults import Fault, located, place, put_in

ROOT = Path(__file__).resolve().parents[2]
STEPS = ROOT / "steps"
TESTS = ROOT / "tests"

SEEN, LIVED, HUNG, UNCLEAR = "seen", "lived", "hung", "unclear"

_SILENCE = 0.5  # so much of the time without a test's end: it hangs, and does not pass slowly
_TELLING = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What became of a fault. ``test``: the first that failed, or in which it hung."""

    outcome: str
    test: str = ""
    seconds: float = 0.0


def attempt(fault: Fault, seconds: float, prefix: list[str], tests: list[str]) -> Result:
    """Run the tests against the fault, or only some. Raises Lost if its text is nowhere now."""
    begun = time.monotonic()
    with _copy() as copy:
        fault = located(fault, copy / "steps")
        put_in(fault, copy / "steps")
        left_out: list[str] = []
        while True:
            files = tests or chosen(fault)
            outcome, test = _suite(copy, files, left_out, seconds, prefix)
            if outcome == SEEN and not test and _fails("--collect-only", ROOT):
                return Result(UNCLEAR)  # nothing can be run here at all
            if outcome != SEEN or _says_so(test, copy):
                return Result(outcome, test, round(time.monotonic() - begun, 1))
            left_out.append(test)  # it says nothing of the fault
            if len(left_out) == 3:
                return Result(UNCLEAR, test)


@contextmanager
def _copy() -> Iterator[Path]:
    """A copy of the repository that every user may read, without what was made in it."""
    place = Path(tempfile.mkdtemp(prefix="mydocker-fault-", dir="/var/tmp"))
    place.chmod(0o755)
    try:
        made = ("__pycache__", ".git", ".venv*", ".*_cache", "lab-*", "site", "*.egg-info")
        skip = shutil.ignore_patterns(*made)
        shutil.copytree(ROOT, place / "copy", symlinks=True, ignore=skip)
        yield place / "copy"
    finally:
        shutil.rmtree(place, ignore_errors=True)


# ---------------------------------------------------------------- which tests


def folders(file: str) -> list[str]:
    """The folders of tests that are about a file: its step's own, and those beside the steps."""
    step, _, module = file.partition("/")
    if step == "learn":
        return ["labs"]
    beside = ["faults"] if step == "05-cli" else []
    if module.startswith("mydocker/kernel/"):
        beside = ["explain", "faults"]
    return [step, *beside]


def chosen(fault: Fault) -> list[str]:
    """The files of these tests: its own, then those that speak of the module, the loudest first."""
    words = _words(place(fault.file, STEPS))
    found = []
    for rank, folder in enumerate(folders(fault.file)):
        for path in sorted((TESTS / folder).glob("test_*.py")):
            found.append((-_mentions(path, fault.file, words), rank, str(path.relative_to(ROOT))))
    paths = [path for _, _, path in sorted(found) if path != fault.test]
    return [fault.test, *paths] if fault.test else paths


def _words(path: Path) -> set[str]:
    """The names that a module gives to others, if they are long enough to mean it."""
    defined = (ast.FunctionDef, ast.ClassDef)
    names = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, defined)}
    return {name for name in names if len(name) > 4 and not name.startswith("_")}


def _mentions(path: Path, file: str, words: set[str]) -> int:
    text, module = path.read_text(), Path(file)
    dotted = ".".join(module.with_suffix("").parts[1:])
    package, _, stem = dotted.rpartition(".")
    imported = dotted in text or re.search(rf"from {package} import .*\b{stem}\b", text)
    called = any(part in path.stem.split("_") for part in (stem, module.parent.name))
    return 20 * bool(imported) + 10 * called + sum(f"{word}" in text for word in words)


# ---------------------------------------------------------------- running them


def _suite(
    copy: Path, files: list[str], left_out: list[str], seconds: float, prefix: list[str]
) -> tuple[str, str]:
    """What came of it, and the test that says so."""
    words = ["./test", "--", "-x", "-v", "-p", "no:cacheprovider", *files]
    words += [f"--deselect={test}" for test in left_out]
    running = _started([*prefix, *words], copy)
    code, text, silence = _followed(running, seconds)
    if code is None:
        if silence > seconds * _SILENCE:
            return HUNG, text.rstrip().rpartition("\n")[2].partition(" ")[0]
        return LIVED, ""
    if code == 0:
        return LIVED, ""
    if code == 5:  # no tests
        return LIVED, ""
    told = _TELLING.findall(text)
    return SEEN, told[-1] if told else ""


def _says_so(test: str, copy: Path) -> bool:
    """Does it fail again, and not without the fault? On a busy machine one may fail by chance."""
    if "::" not in test:
        return True  # the fault keeps everything from running
    return _fails(test, copy) and not _fails(test, ROOT)


def _fails(test: str, repository: Path) -> bool:
    words = ["./test", "--", "-x", "-p", "no:cacheprovider", test]
    code, _, _ = _followed(_started(words, repository), 300)
    return code != 0


def _started(words: list[str], repository: Path) -> "subprocess.Popen[bytes]":
    venv = os.environ.get("MYDOCKER_VENV") or str(ROOT / ".venv")
    return subprocess.Popen(
        words,
        cwd=repository,
        env={**os.environ, "MYDOCKER_VENV": venv, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _followed(running: "subprocess.Popen[bytes]", seconds: float) -> tuple[int | None, str, float]:
    """Exit code (None: its time was over), what it said, and for how long it has said nothing.

    Its time begins when it first says something: before, it may have waited for its turn.
    """
    assert running.stdout is not None
    said, last, end = b"", time.monotonic(), float("inf")
    with running.stdout as stream:
        try:
            while (now := time.monotonic()) < end:
                ready, _, _ = select.select([stream], [], [], min(max(end - now, 0), 1))
                if not ready:
                    continue
                data = os.read(stream.fileno(), 1 << 16)
                if not data:
                    return running.wait(), said.decode(errors="replace"), 0.0
                said += data
                last = time.monotonic()
                end = min(end, last + seconds)
            return None, said.decode(errors="replace"), time.monotonic() - last
        finally:
            _end(running)  # also if we are asked to end


def _end(running: "subprocess.Popen[bytes]") -> None:
    """As Ctrl-C would: the suite takes away what it made. If it does not, the next one does."""
    for number, patience in ((signal.SIGINT, 15.0), (signal.SIGKILL, 15.0)):
        if running.poll() is not None:
            return
        try:
            os.killpg(running.pid, number)
            running.wait(patience)
            return
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
