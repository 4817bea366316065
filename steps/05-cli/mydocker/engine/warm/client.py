"""The program's side of the warm process: calls from any thread, each with a worker of its own."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from mydocker.engine.warm import messages
from mydocker.kernel import signals
from mydocker.kernel.errors import Failure

_ATTEMPTS = 5  # to have a request taken; each time the warm process died before
_PATIENCE = 5.0  # seconds that it has to end by itself

# -I and -S: nothing of the environment, of the working directory, of anybody's site-packages. What
# it needs is on the import path that it is given.
_PROGRAM = (
    "import sys; number, *sys.path[:] = sys.argv[1:]; "
    "from mydocker.engine.warm.sources import Sources; sources = Sources(); "
    "from mydocker.engine.warm.process import main; main(int(number), sources)"
)


class Warm:
    """The containers under ``root`` and ``run``, by way of a warm process that is begun when it is
    first needed, and begun again if it has died, or if the code on the disk is another one. Any
    thread may call; close it at the end."""

    def __init__(self, root: str, run: str, *, cgroup_parent: str = "") -> None:
        self.root = os.path.abspath(root)
        self.run = os.path.abspath(run)
        self.settings = {"cgroup_parent": cgroup_parent}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None

    def __enter__(self) -> "Warm":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the warm process end; workers finish what they are at. May be called twice."""
        with self._lock:
            self._end()

    @property
    def pid(self) -> int:
        """Of the warm process; 0 if there is none at the moment."""
        return self._process.pid if self._process else 0

    def call(
        self, operation: str, *arguments: Any, streams: Sequence[int] = (), **named: Any
    ) -> Any:
        """Have one of ``operations`` done and wait for its answer.

        ``streams`` are descriptors for its standard input, output and error. Raises the Failure
        that it raised. An answer that is a socket is the caller's to close.
        """
        request = messages.packed(
            {
                "operation": operation,
                "arguments": arguments,
                "named": named,
                "root": self.root,
                "run": self.run,
                "settings": self.settings,
            }
        )
        for _ in range(_ATTEMPTS):
            with self._connection() as connection:
                descriptors: list[int] = []
                answer = _asked(connection, request, streams, descriptors)
                if answer is not None:
                    return _unpacked(operation, answer, descriptors)
        raise Failure(
            "the warm process of the engine ends before it takes a request",
            "Is there memory, and a process more to be had? See dmesg, and ulimit -u",
        )

    def _connection(self) -> socket.socket:
        """Our end of a connection, the other one being on its way to a worker."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            for _ in range(_ATTEMPTS):
                door = self._door or self._begin()
                try:
                    socket.send_fds(door, [messages.HAND_OVER], [theirs.fileno()])
                    break
                except ConnectionError:  # it died
                    self._end()
        return ours

    def _begin(self) -> socket.socket:
        kind = socket.SOCK_SEQPACKET
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        with theirs:
            path = [entry for entry in sys.path if os.path.isabs(entry)]
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM, str(theirs.fileno()), *path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={},
                start_new_session=True,  # a Ctrl-C for the program is none for it
            )
        self._door = ours
        return ours

    def _end(self) -> None:
        if self._door is not None:
            self._door.close()
        if self._process is not None:
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:  # somebody has stopped it
                self._process.kill()
                self._process.wait()
        self._door = self._process = None


def _asked(
    connection: socket.socket, request: bytes, streams: Sequence[int], descriptors: list[int]
) -> bytes | None:
    """The answer, with the descriptors that came along; None if the request was not taken."""
    try:
        socket.send_fds(connection, [messages.REQUEST], streams)
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
    except ConnectionError:  # a worker that is killed before it has read the whole of it
        return None
    answer = b""
    try:
        signals.ready(connection.fileno())
        answer = connection.recv(1)
        answer = messages.receive_all(connection, descriptors, answer)
    except ConnectionError:
        pass
    return answer or None


def _unpacked(operation: str, answer: bytes, descriptors: list[int]) -> Any:
    try:
        told = json.loads(answer.removeprefix(messages.TAKEN))
    except ValueError:
        for fd in descriptors:
            os.close(fd)
        raise Failure(
            f"{operation}: the worker that did it was killed",
            "The next command on the same thing mends what it left",
        ) from None
    if "error" in told:
        raise messages.error_of(told["error"])
    if descriptors:
        return socket.socket(fileno=descriptors[0])
    return told["result"]
