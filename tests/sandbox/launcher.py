"""How tests call the programs of the book: as a reader does, from outside."""

import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from sandbox.patience import patience as longer

Completed = subprocess.CompletedProcess[str]
T = TypeVar("T")


class Started(subprocess.Popen[str]):
    """A program that a test started; its end may be waited for longer on a slow machine."""

    def wait(self, timeout: float | None = None) -> int:
        return super().wait(None if timeout is None else longer(timeout))


class Launcher:
    """Calls a step's ``main.py``, or the whole ``mydocker``, in the sandbox."""

    def __init__(self, steps: Path) -> None:
        self.steps = steps
        self._started: list[subprocess.Popen[str]] = []

    def argv(self, step: int, *arguments: str) -> list[str]:
        """The command line that runs ``main.py`` of one step, with the suite's own interpreter."""
        (main,) = self.steps.glob(f"{step:02d}-*/main.py")
        return [sys.executable, "-ESs", str(main), *arguments]

    def __call__(
        self,
        step: int,
        *arguments: str,
        code: int | None = 0,
        env: dict[str, str] | None = None,
        timeout: float = 60,
        **options: Any,
    ) -> Completed:
        """Run one step's ``main.py`` to its end; fails the test if the exit code is not ``code``
        (None: any). Standard input is empty unless ``input`` is given."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(
            self.argv(step, *arguments),
            capture_output=True,
            text=True,
            timeout=longer(timeout),
            env=self.environment(env),
            **options,
        )
        if code is not None and done.returncode != code:
            pytest.fail(f"{arguments}: exit code {done.returncode}, not {code}\n{done.stderr}")
        return done

    def start(
        self, step: int, *arguments: str, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start one step's ``main.py`` and leave it running; it is killed after the test."""
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, subprocess.PIPE)
        argv = self.argv(step, *arguments)
        started = Started(argv, text=True, env=self.environment(env), **options)
        self._started.append(started)
        return started

    def adopt(self, started: subprocess.Popen[str]) -> subprocess.Popen[str]:
        """Let a program that the test started itself be ended after the test as ours are."""
        self._started.append(started)
        return started

    def inside(self, started: subprocess.Popen[str], name: str, patience: float = 20) -> int:
        """The host's pid of the process called ``name`` below a started run, once it is there."""

        def find() -> int | None:
            if started.poll() is not None:
                said = started.stderr.read() if started.stderr else ""
                pytest.fail(f"ended with {started.returncode} before {name} was there: {said}")
            for child in psutil.Process(started.pid).children(recursive=True):
                command = child.cmdline()
                if child.name() == name or (command and os.path.basename(command[0]) == name):
                    return child.pid
            return None

        return eventually(find, patience, what=f"a process {name} below pid {started.pid}")

    def stop(self) -> None:
        """End whatever a test left running."""
        for started in self._started:
            if started.poll() is None:
                # The container ends, and our program cleans up after it. Not SIGTERM: a PID 1
                # without a handler does not hear it.
                for child in psutil.Process(started.pid).children(recursive=True):
                    with suppress(psutil.NoSuchProcess):  # with its PID 1, one after the other
                        child.kill()
                try:
                    started.wait(10)
                except subprocess.TimeoutExpired:
                    started.kill()
                    started.wait()
            for stream in (started.stdin, started.stdout, started.stderr):
                if stream is not None:
                    stream.close()
        self._started.clear()

    def environment(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        """The variables that our programs are given: the suite's, and ``extra``."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))}
        return clean | (extra or {})


def eventually(find: Callable[[], T | None], patience: float = 20, what: str = "") -> T:
    """What ``find`` returns, once it is not None or false; fails the test when patience ends."""
    end = time.monotonic() + longer(patience)
    while True:
        try:
            if found := find():
                return found
        except (OSError, psutil.Error):
            pass
        if time.monotonic() > end:
            pytest.fail(f"did not come in {patience} s: {what or _source(find)}")
        time.sleep(0.01)


def _source(find: Callable[[], object]) -> str:
    """The first line of it: of a lambda the line that waits for it."""
    try:
        return inspect.getsource(find).strip().splitlines()[0]
    except OSError:
        return str(find)
