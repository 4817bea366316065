"""The monitor of a container: it starts it, stays beside it, and cleans up after it.

One process for each running container, forked from the program that starts it and independent of
that from then on: it is the parent of the container's first process, so that it learns of its end
and its exit code, and if it is killed, the kernel kills the container (PR_SET_PDEATHSIG). It owns
the log and the terminal, obeys the restart policy, and releases the parts. Most of its life it is
nothing but the loop in ``supervisor``.

Towards the program that starts it, it speaks on a socket pair: first JSON messages, as the
container's side does towards the host's (``container.channel``), ``event`` and ``error``, and
``started``. From then on the pair is a client's socket as any other, in the words of
``supervisor``.
"""

import _socket
import json
import os
from collections.abc import Callable
from typing import Any, NoReturn

from mydocker.container import private
from mydocker.container.channel import (
    encoded,
    error_message,
    error_of,
    event_message,
    event_of,
)
from mydocker.engine.monitor.end import go_on
from mydocker.engine.monitor.start import start
from mydocker.engine.monitor.supervisor import READS, SLIM_AFTER, TYPES, Client, Supervisor
from mydocker.engine.records.config import Config
from mydocker.engine.records.store import Store
from mydocker.kernel import signals, syscalls, trace
from mydocker.kernel.descriptors import close_all_but
from mydocker.kernel.errors import Failure

_MESSAGE = 1 << 17


def launch(
    store: Store, config: Config, lock: int, *, types: bool = False, reads: bool = False
) -> _socket.socket:
    """Start a container with a monitor of its own. Raises Failure if it cannot be started.

    ``lock`` is the descriptor of the container's lock, which the caller holds and lets go
    afterwards. The socket is a client's, who ``types`` and ``reads``; the caller closes it.
    """
    flags = (TYPES if types else 0) | (READS if reads else 0)
    return outliving(
        lambda socket: _be_monitor(store, config, lock, socket, flags),
        "a monitor: it stays beside the container when we have gone",
    )


def outliving(watch: Callable[[_socket.socket], object], why: str) -> _socket.socket:
    """Our end of a connection to a new process that calls ``watch`` with its own end, and ends.

    Returns when it has said that what it watches runs; raises the Failure that it says instead.
    """
    kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, kind)
    signals.collect()
    pid = syscalls.fork(why=why)
    if pid == 0:
        try:
            ours.close()
            watch(theirs)
        finally:
            os._exit(1)
    signals.outlives(pid)
    theirs.close()
    try:
        hear(ours)
    except BaseException:
        ours.close()
        raise
    return ours


def hear(ours: _socket.socket) -> None:
    """Hear what the monitor says until the container runs."""
    while True:
        signals.ready(ours.fileno())
        data = ours.recv(_MESSAGE)
        if not data:
            raise Failure("the monitor of the container was killed", "Clean up: system prune")
        message = json.loads(data)
        if "event" in message:
            trace.relay(event_of(message))
        elif "error" in message:
            raise error_of(message)
        else:
            return


# ---------------------------------------------------------------- the monitor's side


def _be_monitor(
    store: Store, config: Config, lock: int, socket: _socket.socket, flags: int
) -> NoReturn:
    _detach(lock, socket.fileno())
    client = Client(socket, flags)
    if trace.observed():
        trace.report_to(lambda event: say(socket, event_message(event)))
    try:
        listener = _listen(store, config.id)
        container, facts = start(store, config, listener)
    except BaseException as error:
        say(socket, error_message(error))
        store.forget_socket(config.id)
        os._exit(1)
    os.close(lock)
    say(socket, {"started": container.pid})
    supervisor = Supervisor(facts, [client])
    if trace.observed():
        packet = json.dumps
        trace.report_to(
            lambda event: supervisor.send(client, b"t" + packet(event_message(event)).encode())
        )
        go_on(supervisor, _waited(supervisor), container)
    status = supervisor.watch(SLIM_AFTER)
    if status is None:
        supervisor.become_slim()
    assert status is not None
    go_on(supervisor, status, container)


def _waited(supervisor: Supervisor) -> int:
    status = supervisor.watch()
    assert status is not None
    return status


def say(socket: _socket.socket, message: dict[str, Any]) -> None:
    """Tell who started us something, a monitor's words before ``started``."""
    try:
        socket.send(encoded(message, _MESSAGE), _socket.MSG_NOSIGNAL)
    except OSError:
        return  # who started us has gone; the container starts all the same


def _detach(*kept: int) -> None:
    """Leave all that belongs to the program that started us: its session, files and directory."""
    os.setsid()
    signals.as_in_a_new_python()
    close_all_but(*kept)
    os.chdir("/")


def _listen(store: Store, identifier: str) -> _socket.socket:
    private.make(store.run, "monitors", mode=private.DIRECTORY)
    store.forget_socket(identifier)
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    # A path of a socket has at most 107 bytes (unix(7)); by a descriptor it is short.
    directory = os.open(store.monitors, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchmod(socket.fileno(), private.FILE)  # what bind(2) makes has this mode
    try:
        socket.bind(f"/proc/self/fd/{directory}/{identifier}")
    finally:
        os.close(directory)
    socket.listen(64)
    socket.setblocking(False)
    return socket
