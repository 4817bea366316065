"""When a container's health is tested: the monitor's half, which wakes up for each test.

The test itself is made by another process, the *prober* (``life.probing``): a Python with the whole
engine in it, which the monitor starts for the first test and keeps. A new one for each test would
spend more time on imports than on the test. Between two tests it waits in recv(2), and so do we.

On a pair of sockets, in packets of one byte::

    to the prober    p  make a test
    from the prober  s  made: the container is still starting; a test of it comes after a shorter
                     .  made: it is not; or not made, as the container is paused

The prober ends when our end of the pair is closed. This module is part of the slim process, as
``supervisor`` is, and imports as little.
"""

import _socket
import posix as os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIGKILL = 9
_PATIENCE = 30.0  # seconds above the test's own time in which a prober answers


class Probes:
    """``facts`` are the monitor's. Of them, ``health`` says when the tests come (seconds: in
    ``interval``, ``start_interval``, ``start_period``, ``timeout``), and what is so by now:
    ``due`` (of the clock that time.monotonic reads) when the next one comes or must be over,
    ``asked`` is one being made, ``pid`` and ``fd`` of the prober or -1."""

    def __init__(self, facts: "dict[str, Any]") -> None:
        self.facts = facts
        self.state: dict[str, Any] = facts["health"]
        if not self.state["due"]:
            self._schedule(True)

    def patience(self, milliseconds: float) -> float:
        """How long the monitor may sleep, which wants to sleep so long (less than 0: for ever)."""
        left: float = max(0.0, self.state["due"] - time.monotonic()) * 1000
        return left if milliseconds < 0 else min(left, milliseconds)

    @property
    def fd(self) -> int:
        """The socket to the prober; -1 if there is none."""
        return int(self.state["fd"])

    def go_on(self, ready: "set[int]") -> None:
        """The monitor woke up."""
        if self.fd in ready:
            self._hear()
        if time.monotonic() < self.state["due"]:
            return
        if self.state["asked"]:  # it should have answered
            self.stop()
            self._schedule(False)
        else:
            self._ask()

    def _hear(self) -> None:
        try:
            answer = os.read(self.fd, 1)
        except OSError:
            answer = b""
        if not answer:  # somebody killed it
            self.stop()
        self._schedule(answer == b"s")

    def _schedule(self, starting: bool) -> None:
        state, now = self.state, time.monotonic()
        early = starting and now - state["began"] < state["start_period"]
        state["asked"] = False
        state["due"] = now + state["start_interval" if early else "interval"]

    def _ask(self) -> None:
        try:
            if self.fd < 0:
                self._start()
            os.write(self.fd, b"p")
        except OSError:  # no memory, no more processes: perhaps the next time
            self.stop()
            self._schedule(False)
            return
        self.state["asked"] = True
        self.state["due"] = time.monotonic() + self.state["timeout"] + _PATIENCE

    def _start(self) -> None:
        facts = self.facts
        kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, kind)
        program = f"import sys; sys.path[:] = {facts['path']!r}; "
        program += "from mydocker.engine.life import probing; probing.main()"
        arguments = [facts["python"], "-ISE", "-c", program]
        arguments += [facts["root"], facts["run"], facts["id"], facts["name"]]
        standard_input = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
        try:
            self.state["pid"] = os.posix_spawn(
                facts["python"], arguments, facts["environment"], file_actions=standard_input
            )
            self.state["fd"] = ours.detach()
        finally:
            theirs.close()
            ours.close()

    def stop(self) -> None:
        """The prober ends now, and the test that it makes. May be called twice."""
        if self.state["pid"] > 0:
            os.kill(self.state["pid"], _SIGKILL)
            os.waitpid(self.state["pid"], 0)
        if self.fd >= 0:
            os.close(self.fd)
        self.state["pid"] = self.state["fd"] = -1
