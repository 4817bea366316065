"""Do the steps of a ladder's rung, in namespaces that end with it."""

import os
import shlex
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

from mydocker.kernel import files, programs, signals, syscalls
from mydocker.kernel.errors import Failure, hints
from mydocker.network.ladder import HOST, Rung, Step, needed
from mydocker.network.membership import inside

_PATIENCE = 10.0  # seconds for a server to listen

Tell = Callable[[Step, str, str], None]


class Place:
    """A private machine: its own network and mount namespace, and a namespace for each container.

    Changes the process that makes it: it is for one that ends afterwards.
    """

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.pids: dict[str, int] = {}
        self.started: list[int] = []

    def __enter__(self) -> Self:
        with hints({1: "New namespaces need root: use sudo"}):
            why = "a private machine for this rung"
            syscalls.unshare(syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS, why=why)
        private = syscalls.MS_REC | syscalls.MS_PRIVATE
        syscalls.mount("none", "/", None, private, why="what is mounted here stays here")
        programs.ip_batch("link set dev lo up\n", why="its loopback")
        for name in self.names:
            self.pids[name] = self._container()
        return self

    def _container(self) -> int:
        pid, pidfd = syscalls.clone3(syscalls.CLONE_NEWNET, why="a container: just a namespace")
        if pid == 0:
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            while True:
                signal.pause()
        os.close(pidfd)
        return pid

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pid in (*self.started, *self.pids.values()):
            os.kill(pid, signal.SIGKILL)
            signals.reap(pid)

    def do(self, step: Step) -> tuple[str, str]:
        """Do one step: what was typed, and what came out. Raises Failure if it went otherwise."""
        text = step.text.replace("{here}", shlex.quote(os.path.dirname(__file__)))
        for name, pid in self.pids.items():
            text = text.replace(f"{{{name}}}", str(pid))
        actions: dict[str, Callable[[Step, str], str]] = {
            "ip": self._ip,
            "nft": self._nft,
            "write": self._write,
            "start": self._start,
            "look": self._look,
        }
        return text, actions[step.kind](step, text)

    def _ip(self, step: Step, text: str) -> str:
        return self._there(step, lambda: programs.ip_batch(text + "\n", why=step.why))

    def _nft(self, step: Step, text: str) -> str:
        return self._there(step, lambda: programs.nft(text + "\n", why=step.why))

    def _there(self, step: Step, action: Callable[[], str]) -> str:
        if step.where == HOST:
            return action()
        with inside(self.pids[step.where]):
            return action()

    def _write(self, step: Step, text: str) -> str:
        value, _, path = text.partition(" > ")
        files.write(path, value, why=step.why)
        return ""

    def _arguments(self, step: Step, text: str) -> list[str]:
        enter = (
            ["nsenter", f"--net=/proc/{self.pids[step.where]}/ns/net"] if step.where != HOST else []
        )
        return [*enter, *shlex.split(text)]

    def _start(self, step: Step, text: str) -> str:
        import subprocess
        import time

        null = subprocess.DEVNULL
        made = subprocess.Popen(self._arguments(step, text), stdin=null, stdout=null, stderr=null)
        self.started.append(made.pid)
        end = time.monotonic() + _PATIENCE
        while made.poll() is None and time.monotonic() < end:
            if _listens(made.pid):
                return ""
            time.sleep(0.01)
        if made.poll() is not None:
            self.started.remove(made.pid)
        raise Failure(f"{text}: does not listen", "Is busybox-static installed?")

    def _look(self, step: Step, text: str) -> str:
        import subprocess

        done = subprocess.run(
            self._arguments(step, text),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if (done.returncode != 0) != step.fails:
            raise Failure(
                f"ladder: '{text}' in {step.where} went otherwise than it should: {done.stdout}"
            )
        return done.stdout


def _listens(pid: int) -> bool:
    """True once a process has a socket that is bound to a port of its namespace."""
    descriptors = f"/proc/{pid}/fd"
    try:
        files_ = {os.readlink(f"{descriptors}/{fd}") for fd in os.listdir(descriptors)}
        tables = [files.read(f"/proc/{pid}/net/{kind}") for kind in ("tcp", "tcp6", "udp", "udp6")]
    except (OSError, Failure):
        return False
    inodes = {line.split()[9] for table in tables for line in table.splitlines()[1:]}
    return any(f"socket:[{inode}]" in files_ for inode in inodes)


def climb(rung: Rung, tell: Tell) -> None:
    """Do a rung; ``tell(step, typed, output)`` is called after each of its steps."""
    with Place(needed(rung)) as place:
        for step in rung.below:
            place.do(step)
        for step in rung.steps:
            tell(step, *place.do(step))
