"""The agent: runs inside the VM, started by systemd, and runs one command for the host.

It says hello on the virtio-serial port, receives one job, runs it as root in the repository,
and passes input, output, window size, signals and the exit code along (see vm/wire.py).
Man pages: pidfd_open(2), pty(7), setsid(2), ioctl_tty(2).
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import NoReturn

from vm import wire

REPOSITORY = "/root/mydocker"
PORTS = Path("/sys/class/virtio-ports")


def open_port() -> int:
    """Open the port by its name; udev's /dev/virtio-ports links may not be there (yet)."""
    for entry in PORTS.iterdir():
        if (entry / "name").read_text().strip() == wire.PORT_NAME:
            return os.open(f"/dev/{entry.name}", os.O_RDWR | os.O_CLOEXEC)
    raise SystemExit(f"agent: no virtio port named {wire.PORT_NAME} in {PORTS}")


def send(port: int, kind: bytes, payload: bytes = b"") -> None:
    """Write one frame whole; the port takes as much at a time as it likes."""
    rest = memoryview(wire.frame(kind, payload))
    while rest:
        rest = rest[os.write(port, rest) :]


def set_size(terminal: int, rows: int, columns: int) -> None:
    """Set the terminal's window size (TIOCSWINSZ)."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Command:
    """The running command with the descriptors that lead to it."""

    def __init__(self, argv: list[str], environment: dict[str, str], terminal: bool) -> None:
        self.terminal: int | None = None
        if terminal:
            self.terminal, slave = pty.openpty()
            self.process = subprocess.Popen(
                argv, cwd=REPOSITORY, env=environment, stdin=slave, stdout=slave, stderr=slave,
                # The terminal must be the new session's controlling one, or Ctrl-C does nothing.
                preexec_fn=lambda: _become_session(0),
            )  # fmt: skip
            os.close(slave)
            self.stdin: int | None = self.terminal
            self.outputs = {self.terminal: wire.STDOUT}
        else:
            self.process = subprocess.Popen(
                argv, cwd=REPOSITORY, env=environment, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            assert self.process.stdin and self.process.stdout and self.process.stderr
            self.stdin = self.process.stdin.fileno()
            self.outputs = {
                self.process.stdout.fileno(): wire.STDOUT,
                self.process.stderr.fileno(): wire.STDERR,
            }
        os.set_blocking(self.stdin, False)
        self.input = bytearray()
        self.input_ended = False

    def write_input(self) -> None:
        """Give the command what waits for it; close its input after the last byte."""
        if self.stdin is None:
            return
        try:
            while self.input:
                del self.input[: os.write(self.stdin, self.input)]
        except BlockingIOError:
            return
        except OSError:  # it closed its input: nobody wants the rest
            self.input.clear()
            self.input_ended = True
        if self.input_ended and self.terminal is None:
            assert self.process.stdin
            self.process.stdin.close()
            self.stdin = None

    def read_output(self, descriptor: int) -> bytes:
        """What the command wrote; b"" at the end (a terminal's end is EIO)."""
        try:
            return os.read(descriptor, wire.CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            return b""

    def exit_code(self) -> int:
        """The exit code as a shell gives it: 128+n after signal n."""
        code = self.process.wait()
        return 128 - code if code < 0 else code


def _become_session(terminal: int) -> None:
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def serve(port: int, frames: wire.Frames, command: Command) -> int:
    """Carry bytes both ways until the command has ended and its output is passed on."""
    ended = os.pidfd_open(command.process.pid)
    running = True
    while running or command.outputs:
        readable = [*command.outputs]
        if running:
            readable.append(ended)
            # Full input is not read further: the pressure reaches the host's side by itself.
            if len(command.input) < wire.CHUNK:
                readable.append(port)
        writable = [command.stdin] if running and command.input and command.stdin else []
        # After the end, only what is already in the pipes counts: a process left in the
        # background may hold them open for ever.
        ready, _, _ = select.select(readable, writable, [], None if running else 0.1)
        if not ready and not running:
            break
        if port in ready:
            for kind, payload in frames.feed(os.read(port, wire.CHUNK)):
                obey(command, kind, payload)
        command.write_input()
        for descriptor in [d for d in command.outputs if d in ready]:
            data = command.read_output(descriptor)
            if data:
                send(port, command.outputs[descriptor], data)
            else:
                del command.outputs[descriptor]
        if ended in ready:
            running = False
    return command.exit_code()


def obey(command: Command, kind: bytes, payload: bytes) -> None:
    """Do what one frame from the host asks."""
    if kind == wire.STDIN:
        command.input += payload
        command.input_ended = command.input_ended or not payload
    elif kind == wire.SIZE and command.terminal is not None:
        rows, columns = map(int, payload.split())
        set_size(command.terminal, rows, columns)
    elif kind == wire.SIGNAL:
        os.killpg(command.process.pid, int(payload))


def start(port: int, job: bytes) -> Command | int:
    """Start the job; a command that cannot be started gives 126 or 127 as in a shell."""
    request = json.loads(job)
    try:
        command = Command(request["argv"], request["environment"], request["terminal"])
    except FileNotFoundError as error:
        send(port, wire.STDERR, f"vm: {request['argv'][0]}: {error.strerror}\n".encode())
        return 127
    except OSError as error:
        send(port, wire.STDERR, f"vm: {request['argv'][0]}: {error.strerror}\n".encode())
        return 126
    if command.terminal is not None:
        set_size(command.terminal, request["rows"], request["columns"])
    return command


def main() -> NoReturn:
    # Python ignores SIGPIPE and its children would inherit that: `yes | head` would never end.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    port = open_port()
    send(port, wire.HELLO)
    frames = wire.Frames()
    command: Command | int | None = None
    while command is None:
        for kind, payload in frames.feed(os.read(port, wire.CHUNK)):
            if kind == wire.JOB:
                command = start(port, payload)
            elif isinstance(command, Command):
                obey(command, kind, payload)
    code = command if isinstance(command, int) else serve(port, frames, command)
    send(port, wire.EXIT, str(code).encode())
    # The host takes the machine away as soon as it has read this; nothing is left to do.
    signal.pause()
    sys.exit(0)


if __name__ == "__main__":
    main()
