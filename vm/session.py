"""One command in a machine: the host's end of the wire (the other end is vm/agent.py)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator

from vm import recipe, wire
from vm.errors import Crashed, VmError
from vm.machine import Machine

LOOK = 0.2  # seconds between two looks for a signal
ESCAPE = b"\x1d"  # Ctrl-], as in telnet: leaves a machine that no longer answers

ENVIRONMENT = {
    "HOME": "/root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "MYDOCKER_VENV": recipe.VENV,
}


class Session:
    """Carries input, output, window size and signals until the exit code arrives."""

    def __init__(self, machine: Machine, command: list[str]) -> None:
        self._machine = machine
        self._port = machine.port.fileno()
        self._command = command
        self._frames = wire.Frames()
        self._outgoing = bytearray()
        self._terminal = os.isatty(0) and os.isatty(1)
        self._input_open = True
        self._exit_code: int | None = None

    def wait_until_up(self, seconds: float) -> None:
        """Wait for the agent's hello."""
        if self._next_kind(time.monotonic() + seconds) != wire.HELLO:
            raise Crashed(f"the VM did not come up within {seconds:.0f} s")

    def run(self, seconds: float | None) -> int:
        """Run the command, return its exit code."""
        self._outgoing += wire.frame(wire.JOB, self._job())
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._signals() as wakeup, raw_terminal(self._terminal):
            while self._exit_code is None:
                if deadline is not None and time.monotonic() > deadline:
                    raise VmError(f"the command did not end within {seconds:.0f} s")
                self._turn(wakeup, deadline)
        return self._exit_code

    def _job(self) -> bytes:
        environment = ENVIRONMENT | {"MYDOCKER_TEST_PATIENCE": self._machine.patience}
        size = os.get_terminal_size(0) if self._terminal else os.terminal_size((80, 24))
        if self._terminal:
            environment["TERM"] = os.environ.get("TERM", "linux")
        job = {"argv": self._command, "environment": environment, "terminal": self._terminal}
        return json.dumps(job | {"rows": size.lines, "columns": size.columns}).encode()

    def _next_kind(self, deadline: float) -> bytes:
        """The kind of the next frame, or b"" when the time is over."""
        while (left := deadline - time.monotonic()) > 0:
            # In steps: a signal that comes just before a wait is heard only when that ends.
            ready, _, _ = select.select([self._port], [], [], min(left, LOOK))
            if ready:
                for kind, _ in self._frames.feed(self._receive()):
                    return kind
        return b""

    def _receive(self) -> bytes:
        try:
            data = os.read(self._port, wire.CHUNK)
        except ConnectionResetError:
            data = b""
        if not data:
            raise self._machine.gone()
        return data

    def _turn(self, wakeup: int, deadline: float | None) -> None:
        """One turn of the loop: whatever is ready is carried one step further."""
        readable = [self._port, wakeup]
        if self._input_open and len(self._outgoing) < wire.CHUNK:
            readable.append(0)
        writable = [self._port] if self._outgoing else []
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, can_write, _ = select.select(readable, writable, [], left)
        if wakeup in ready:
            for number in os.read(wakeup, 64):
                self._signalled(number)
        if 0 in ready:
            self._read_input()
        if can_write:
            sent = self._machine.port.send(self._outgoing[: wire.CHUNK])
            del self._outgoing[:sent]
        if self._port in ready:
            for kind, payload in self._frames.feed(self._receive()):
                self._obey(kind, payload)

    def _obey(self, kind: bytes, payload: bytes) -> None:
        if kind == wire.EXIT:
            self._exit_code = int(payload)
        else:
            write_all(2 if kind == wire.STDERR else 1, payload)

    def _read_input(self) -> None:
        try:
            data = os.read(0, wire.CHUNK)
        except OSError:  # a closed or lost terminal: there is no more input
            data = b""
        if self._terminal and ESCAPE in data:
            raise VmError("left with Ctrl-]: the VM was switched off")
        self._input_open = bool(data)
        self._outgoing += wire.frame(wire.STDIN, data)

    def _signalled(self, number: int) -> None:
        if number == signal.SIGWINCH and self._terminal:
            size = os.get_terminal_size(0)
            self._outgoing += wire.frame(wire.SIZE, f"{size.lines} {size.columns}".encode())
        elif number != signal.SIGWINCH:
            self._outgoing += wire.frame(wire.SIGNAL, str(number).encode())

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """Signals arrive as bytes in a pipe, for the loop to pass on to the command."""
        reader, writer = os.pipe()
        for descriptor in (reader, writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writer)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH)
        before = [(number, signal.signal(number, lambda *_: None)) for number in numbers]
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before:
                signal.signal(number, handler)
            os.close(reader)
            os.close(writer)


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything; a reader that has gone (`| head`) ends us as it ends any program."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BrokenPipeError:
            # Standard output is dead; keep Python from complaining when it flushes it.
            sys.stdout = None
            raise SystemExit(128 + signal.SIGPIPE) from None


@contextlib.contextmanager
def raw_terminal(wanted: bool) -> Iterator[None]:
    """Each key goes to the VM's terminal, Ctrl-C too; the reader's terminal is restored."""
    if not wanted:
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
