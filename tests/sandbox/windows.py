"""Start programs under ``window``, and send them signals when they wait."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from sandbox import window
from sandbox.launcher import Launcher, Started, eventually
from sandbox.patience import patience

_LOOKS = 10  # so many in a row must find it asleep


class Windows:
    """Programs whose every wait is the window in which a signal can be lost."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def start(self, step: int, *arguments: str, stdin: int = subprocess.PIPE) -> Started:
        """A step's ``main.py``; it is killed after the test."""
        python, flags, *rest = self._launcher.argv(step, *arguments)
        return self._started([python, flags, window.__file__, *rest], stdin)

    def script(self, code: str) -> Started:
        """A program that sees all steps. It is in the wait when it has printed a line."""
        steps = str(self._launcher.steps)
        before = f"import sys; sys.path[:0] = {[steps, str(Path(window.__file__).parent)]!r}\n"
        before += "import window; from layers import stack; stack(5); window.widen()\n"
        started = self._started([sys.executable, "-ESs", "-c", before + code], subprocess.PIPE)
        assert started.stdout
        assert started.stdout.readline() == "waits\n", started.communicate()[1]
        return started

    def _started(self, argv: list[str], stdin: int) -> Started:
        started = Started(
            argv,
            text=True,
            env=self._launcher.environment(),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_foreground,
        )
        self._launcher.adopt(started)
        return started


def _foreground() -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def asleep(started: subprocess.Popen[str]) -> None:
    """Wait until the program waits."""
    eventually(lambda: all(_sleeps(started.pid, look) for look in range(_LOOKS)), what="its sleep")


def _sleeps(pid: int, look: int) -> bool:
    """True if it sleeps; looks are some milliseconds apart."""
    if look:
        time.sleep(0.02)
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def heard(started: subprocess.Popen[str], number: int) -> int:
    """Send a signal to a program that waits; its exit code. One that is lost fails the test."""
    asleep(started)
    started.send_signal(number)
    return started.wait(patience(15))
