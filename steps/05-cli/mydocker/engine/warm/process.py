"""The warm process itself: one thread, all of the engine imported, a fork for each request.

It reads no environment and no file of settings, and keeps nothing of a request: root, run directory
and settings come with it, and the worker that has them dies with its answer. It ends when the
program that started it is gone, for then their socket is closed; the workers finish what they are
at. It learns nothing of how they end: the kernel takes its dead children away (SIGCHLD ignored,
sigaction(2)), and who asked sees the end of the connection.

Nor does it serve with older code than there is: if a source file that it imported has changed, it
ends instead, and who asked begins another one and asks again.
"""

import gc
import json
import os
import pkgutil
import signal
import socket
from importlib import import_module
from typing import NoReturn

from mydocker.engine.warm import messages
from mydocker.engine.warm.operations import OPERATIONS
from mydocker.engine.warm.sources import Sources
from mydocker.kernel import signals, trace
from mydocker.kernel.errors import Failure

NAME = "mydocker-warm"
# The rooms whose modules are imported before the first request, so that no worker does it.
ROOMS = (
    "kernel",
    "container",
    "namespaces",
    "cgroups",
    "overlay2",
    "network",
    "security",
    "engine",
)
# What reads a command line or draws on a terminal brings click and rich along, and a slim process
# is another program.
_NOT = ("commandline", "commands", "drawing", "image_commands", "options", "root_option", "slim")


def main(descriptor: int, sources: Sources) -> NoReturn:
    """Serve who has the other end of ``descriptor``, until it is closed, or ``sources`` change."""
    os.umask(0o022)
    os.chdir("/")
    with open("/proc/self/comm", "w") as file:
        file.write(NAME)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import_all()
    sources.keep_imported()
    gc.collect()
    gc.freeze()  # else a collection in a worker writes to, and so copies, all that is shared
    door = socket.socket(fileno=descriptor)
    door.set_inheritable(False)
    while True:
        signals.ready(door.fileno())
        data, came, _, _ = socket.recv_fds(door, 1, 1, socket.MSG_CMSG_CLOEXEC)
        if not data or sources.changed():
            os._exit(0)
        for fd in came:
            connection = socket.socket(fileno=fd)
            _serve(connection, door)
            connection.close()


def import_all() -> None:
    """Import every module of the engine and of what it stands on."""
    for room in ROOMS:
        package = import_module(f"mydocker.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.rpartition(".")[2] not in _NOT:
                import_module(found.name)


def _serve(connection: socket.socket, door: socket.socket) -> None:
    """Fork the worker; this side goes on at once."""
    try:
        pid = os.fork()
    except OSError as error:
        _answer(connection, messages.TAKEN + messages.packed({"error": messages.error_told(error)}))
        return
    if pid == 0:
        try:
            door.close()
            work(connection)
        finally:
            os._exit(1)


def work(connection: socket.socket) -> NoReturn:
    """Be the worker of one request."""
    signals.as_in_a_new_python()
    streams: list[int] = []
    told = messages.receive_all(connection, streams)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    request = json.loads(told.removeprefix(messages.REQUEST))
    connection.sendall(messages.TAKEN)
    sent: list[int] = []
    try:
        result = _done(request)
        if isinstance(result, socket.SocketType):
            sent.append(result.detach())
            result = None
        answer = messages.packed({"result": result})
    except BaseException as error:
        answer = messages.packed({"error": messages.error_told(error)})
    _answer(connection, answer, sent)
    os._exit(0)


def _done(request: dict[str, object]) -> object:
    from mydocker.engine.records.store import Store

    operation = OPERATIONS.get(str(request["operation"]))
    if operation is None:
        raise Failure(f"the warm process knows no operation {request['operation']}")
    settings, arguments, named = request["settings"], request["arguments"], request["named"]
    assert isinstance(settings, dict) and isinstance(arguments, list) and isinstance(named, dict)
    os.environ.clear()
    os.environ.update({f"MYDOCKER_{name.upper()}": text for name, text in settings.items() if text})
    if fault := os.environ.get("MYDOCKER_FAULT"):  # for a new Python, importing trace does it
        trace.arm(fault)
    store = Store(str(request["root"]), str(request["run"]))
    result = operation(store, *arguments, **named)
    for failure in store.unwritten:
        failure.hint = "What was asked for is done, but not written down"
        raise failure
    return result


def _answer(connection: socket.socket, answer: bytes, sent: list[int] | None = None) -> None:
    """Who asked may be gone; what was asked for is done all the same."""
    try:
        count = socket.send_fds(connection, [answer], sent or [])
        connection.sendall(answer[count:])
    except OSError:
        return
