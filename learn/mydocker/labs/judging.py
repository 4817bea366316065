"""Run the suite against a copy of the steps, in a container, and read what each test did.

The tree of steps that is judged is ours, but for the regions of the exercises: whatever else was
changed cannot have an effect. The suite tells what each test does as it does it (``--tell``), so
that a test which hangs is known by its name.
"""

import hmac
import json
import os
import select
import signal
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mydocker.cgroups import hierarchy
from mydocker.cgroups.limits import Limits
from mydocker.cgroups.part import cgroup_part
from mydocker.container.process import Process
from mydocker.container.running import Container, new_identifier
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.labs import confinement
from mydocker.labs.workplace import PREFIX, Delegated, Nobody, OwnGroups, Workplace
from mydocker.namespaces.parts import FreshProc, HostName, Loopback, PrivateMounts

_NAMESPACES = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)
_STEP = 0.05  # seconds between two looks at what the suite tells
_LONGEST = 16 << 20  # bytes that are read of what they write
_LATE = 2  # so many tests may wait in vain for a program to end, before all stops


@record
class Bounds:
    """What a student's code may take: seconds for one test, bytes of memory, processes; bytes of
    one file, and of the disk in all."""

    seconds: float = 50.0
    memory: int = 1 << 30
    pids: int = 400
    file: int = 1 << 30
    disk: int = 2 << 30


@record
class Seen:
    """One test. ``outcome``: passed, failed, skipped; ``hung`` if it had to be ended, ``ended`` if
    the whole suite ended in the middle of it. ``printed``: what was written to its output."""

    test: str
    outcome: str
    text: str = ""
    error: str = ""
    printed: str = ""


@record
class Run:
    """What a run of the suite saw, test by test, and all that it printed; ``forged``: why that
    cannot be believed."""

    seen: tuple[Seen, ...]
    log: str
    finished: bool
    forged: str = ""


@record
class Suite:
    """The suite of ``repository``: how it is run. ``canaries``: a mark depends on it."""

    repository: str
    run_directory: str
    bounds: Bounds = Bounds()
    seed: str = ""
    patience: str = ""
    canaries: bool = False

    def run(
        self, files: Mapping[str, str], tests: Iterable[str], canaries: Iterable[str] = ()
    ) -> Run:
        """Run ``tests`` against our steps with ``files`` (paths below steps/) in place of ours.

        ``canaries`` are tests that are run once more, and then have to fail. Raises Failure if the
        container cannot be made: without root, for example.
        """
        identifier = new_identifier()
        place = os.environ.get("TMPDIR") or "/var/tmp"  # on a disk, as layers usually are
        directory = f"{os.path.abspath(place)}/{PREFIX}{identifier[:12]}"
        container = self._container(identifier, directory, files, list(tests))
        with _asked_to_end():
            try:
                for path, text in files.items():
                    _write(f"{directory}/tmp/changed/{path}", text)
                key = os.urandom(32)
                _write(f"{directory}/tmp/told.key", " ".join([key.hex(), *canaries]))
                container.start()
                stopped = self._watch(container, directory)
                return _read(directory, stopped, key)
            finally:
                container.kill()
                container.release()

    def _container(
        self, identifier: str, directory: str, changed: Iterable[str], tests: list[str]
    ) -> Container:
        limits = Limits(memory=self.bounds.memory, pids=self.bounds.pids, cpus=_cpus(), devices=())
        group = cgroup_part(identifier, limits)
        hierarchies = hierarchy.read().usable
        inside = (FreshProc(), OwnGroups(hierarchies), HostName("lab"), Loopback())
        parts = [
            group,
            Delegated(group.path, hierarchies),
            PrivateMounts(),
            Workplace(directory, self.repository, self._venv(), tuple(changed)),
            *confinement.parts(identifier, self.bounds.file),
            Nobody(inside, hierarchies),
        ]
        options = ["--steps=/tmp/steps", "--tell=/tmp/told", f"--seed={self.seed}"]
        quiet = ["-p", "no:cacheprovider", "-q", "--tb=short", "-o", "addopts="]
        quiet += ["--import-mode=importlib", "--strict-markers"]
        nodes = [f"tests/{test}" for test in tests]
        command = ("/tmp/venv/bin/python3", "-B", "-m", "pytest", *quiet, *options, *nodes)
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # none is used here, and they take a while
            "HOME": "/root",
            "MYDOCKER_VENV": "/tmp/venv",
            "MYDOCKER_TEST_PATIENCE": self.patience
            or os.environ.get("MYDOCKER_TEST_PATIENCE", "1"),
        }
        process = Process(command, environment, "/tmp/repository", input=False, init=True)
        return Container(identifier, process, _NAMESPACES, parts, self.run_directory)

    def _venv(self) -> str:
        venv = os.path.abspath(os.environ.get("MYDOCKER_VENV") or f"{self.repository}/.venv")
        if not os.path.exists(f"{venv}/bin/pytest"):
            raise Failure(
                "the checks need the packages of the test suite",
                f"Run: {self.repository}/mydocker setup --lab",
            )
        return venv

    def _watch(self, container: Container, directory: str) -> str:
        """Wait for its end. "hung" if it had to be ended because nothing new was told for long;
        "slow" if tests were tired of waiting for a program, and so would be the next ones; "full"
        if it had written too much."""
        told, left = f"{directory}/tmp/told", _free(directory)
        left -= min(self.bounds.disk, left // 2)
        poll = select.poll()
        poll.register(container.pidfd, select.POLLIN)
        size, since = -1, time.monotonic()
        while not poll.poll(_STEP * 1000):
            now = _size(told)
            if now != size:
                size, since = now, time.monotonic()
                if _count_late(told) >= _LATE:
                    container.kill()
                    return "slow"
            if time.monotonic() - since > self.bounds.seconds:
                container.kill()
                return "hung"
            if _free(directory) < left:
                container.kill()
                return "full"
        container.wait()
        return ""


def _cpus() -> float | None:
    """All processors but one: whatever is tried, the machine can be used meanwhile."""
    if hierarchy.read().holding("cpu") is None:
        return None
    return max(0.9, (os.cpu_count() or 1) - 1)


def _free(directory: str) -> int:
    """Bytes that are free on the disk of ``directory``."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def _count_late(path: str) -> int:
    return sum('"error": "TimeoutExpired"' in line for line in _text(path).splitlines())


@contextmanager
def _asked_to_end() -> Iterator[None]:
    """Meanwhile, whoever asks us to end gets what Ctrl-C gets: all that was made is removed."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _write(path: str, text: str) -> None:
    """A file that every user may read: some tests are another user."""
    before = os.umask(0o022)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
    finally:
        os.umask(before)
    os.utime(path, (0, 0))  # never the time of what Python has compiled from ours


def _read(directory: str, stopped: str, key: bytes) -> Run:
    log = _text(f"{directory}/tmp/log")
    told, forged = _believed(_text(f"{directory}/tmp/told"), key)
    seen: dict[str, Seen] = {}
    waiting: list[str] = []  # what was to be run
    begun, finished = "", False
    for one in told:
        what, test = one["what"], one.get("test", "").removeprefix("tests/")
        if what == "collected":
            waiting = [name.removeprefix("tests/") for name in one["tests"]]
        elif what == "begun":
            begun = test
        elif what == "ended":
            begun = ""
        elif what == "finished":
            finished = True
            forged = forged or one["forged"]
        elif test not in seen or seen[test].outcome == "passed":
            # The first failure says what is wrong: what follows, at the end of a test, follows.
            outcome = "failed" if what == "uncollected" else what
            words = (one.get(name, "") for name in ("text", "error", "printed"))
            seen[test] = Seen(test, outcome, *words)
    if stopped == "full":
        log += "\nthe check was ended: its files filled the disk\n"
    if begun and begun not in seen and stopped != "slow":
        seen[begun] = Seen(begun, "hung" if stopped == "hung" else "ended", log[-2000:])
    elif finished and (left := [test for test in waiting if test not in seen]):
        # The session ended in good order, and before its end
        seen[left[0]] = Seen(left[0], "ended", log[-2000:])
    return Run(tuple(seen.values()), log, finished, forged)


def _believed(text: str, key: bytes) -> tuple[list[dict[str, Any]], str]:
    """What the suite has told, as far as it is the suite that told it, and why the rest is not.

    Each line ends in a code that only who has the key can make (HMAC, RFC 2104): of its number and
    of what stands in it. The suite reads the key before any code that is judged.
    """
    found: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(keepends=True)):
        if not line.endswith("\n"):
            break  # it was ended in the middle of it
        told, _, code = line.rstrip("\n").rpartition(" ")
        right = hmac.new(key, f"{number} {told}".encode(), "sha256").hexdigest()
        if not hmac.compare_digest(right.encode(), code.encode()):
            return found, "what the tests tell was written by somebody else"
        found.append(json.loads(told))
    return found, ""


def _text(path: str) -> str:
    """The last of a file that they have written, who may have put anything there: a link to a file
    of the machine, a pipe that nobody writes to, more than our memory holds."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        with open(fd, "rb", closefd=False) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LONGEST))
            return file.read(_LONGEST).decode(errors="replace")
    finally:
        os.close(fd)
