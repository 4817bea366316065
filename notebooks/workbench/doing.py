"""What cells do: type a command, start something in the background, call a function apart.

A kernel of Jupyter has several threads. To start a container from such a process is not safe:
clone3(2) copies the one thread that calls it, and with it the locks that others hold. So containers
are started by commands, or by a function in a fresh copy of this process (``apart``).
"""

import os
import pickle
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

from mydocker.kernel.errors import Failure
from workbench.stacked import ROOT

T = TypeVar("T")
_background: list[subprocess.Popen[bytes]] = []


class Typed(str):
    """What a command printed, and its exit code. Shown as nothing: it has been printed."""

    code: int

    def _ipython_display_(self) -> None:
        pass


def shell(command: str, *, lines: int = 40) -> Typed:
    """Run a line of shell in the project's folder and show it as a terminal would.

    What it printed comes back as text, with its exit code as ``code``.
    """
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    shown = done.stdout.splitlines()
    print(f"$ {command}")
    for line in shown[:lines]:
        print(line)
    if len(shown) > lines:
        print(f"… and {len(shown) - lines} lines more")
    if done.returncode != 0:
        print(f"[exit code {done.returncode}]")
    typed = Typed(done.stdout)
    typed.code = done.returncode
    return typed


def start(command: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a program in the background; it ends with ``stop()``, or with the kernel."""
    null = subprocess.DEVNULL
    usual: dict[str, Any] = {"stdin": null, "stdout": null, "stderr": null, "cwd": ROOT}
    started: subprocess.Popen[bytes] = subprocess.Popen(shlex.split(command), **(usual | options))
    _background.append(started)
    return started


def stop() -> None:
    """End what ``start`` has started, in the order of its starting."""
    while _background:
        started = _background.pop(0)
        with suppress(ProcessLookupError):
            started.terminate()
        try:
            started.wait(1)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        for stream in (started.stdin, started.stdout):
            if stream is not None:
                stream.close()


def wait_for(find: Callable[[], T], patience: float = 20.0) -> T:
    """What ``find`` returns, once that is not zero, false or empty. Raises Failure after 20 s."""
    import psutil

    end = time.monotonic() + patience
    while time.monotonic() < end:
        with suppress(psutil.Error, OSError, StopIteration):
            if found := find():
                return found
        time.sleep(0.005)
    raise Failure("what this cell waits for did not happen", "Run the cell again")


def apart(function: Callable[[], T]) -> T:
    """Call ``function`` in a copy of this process that has one thread; what it returns.

    What it prints is shown. Raises what it raised. Whatever it changed in Python's objects is
    changed in the copy alone.
    """
    sys.stdout.flush()
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as printed:
        pid = os.fork()
        if pid == 0:
            _be_apart(function, answer.fileno(), printed.fileno())
        _, status = os.waitpid(pid, 0)
        printed.seek(0)
        print(printed.read().decode(errors="replace"), end="")
        answer.seek(0)
        data = answer.read()
    if not data:
        raise Failure(f"the process apart ended with {os.waitstatus_to_exitcode(status)}")
    kind, value = pickle.loads(data)
    if kind == "error":
        raise Failure(value)
    return value  # type: ignore[no-any-return]


def _be_apart(function: Callable[[], object], answer: int, printed: int) -> NoReturn:
    """The copy: nothing of Jupyter's streams is touched, for their threads are not here."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        try:
            result: tuple[str, object] = ("result", function())
        except Failure as failure:
            result = ("error", str(failure))
        except BaseException:
            result = ("error", traceback.format_exc())
        sys.stdout.flush()
        with open(answer, "wb", closefd=False) as file:
            file.write(pickle.dumps(result))
    finally:
        os._exit(0)
