"""The container's side, from the clone to the command.

Everything here runs in the new process, after clone3(2) and before execve(2). It ends in execve or
in ``os._exit``, never by returning: otherwise there would be two of the program that called us.
"""

import os
import signal
from typing import NoReturn

from mydocker.container import init, terminal
from mydocker.container.channel import Channel, error_message, event_message
from mydocker.container.parts import Part
from mydocker.container.process import Process
from mydocker.kernel import syscalls, trace
from mydocker.kernel.errors import CANNOT_RUN, NOT_EXECUTABLE, NOT_FOUND, Failure, KernelError

# Signals that, sent to us, are meant for the command
FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def become(process: Process, parts: list[Part], channel: Channel) -> NoReturn:
    """Enter all parts and become the command. An error goes to the host's side as a message."""
    try:
        _become(process, parts, channel)
    except BaseException as error:
        channel.send(error_message(error))
    finally:
        os._exit(CANNOT_RUN)


def _become(process: Process, parts: list[Part], channel: Channel) -> None:
    _default_signals()
    message, _ = channel.receive()  # the host attaches our parts meanwhile
    if message is None:
        return  # the host's side was killed before it could say go
    if message["observed"]:
        trace.become_container(message["go"], _reporter(channel), lambda: _ask_to_kill(channel))
    if not process.input:
        os.dup2(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), 0)
    syscalls.setsid(why="a session of its own, apart from the shell that you type in")
    os.environ.clear()
    os.environ.update(process.environment)
    for part in parts:
        part.enter()
    if process.terminal:
        _open_terminal(channel)
    if process.directory:
        syscalls.chdir(process.directory, why="where the command starts")
    _die_with_parent(channel)
    # Whatever the reader's shell or our caller had open is not the container's business: a
    # directory among it would be a way out of the container.
    syscalls.close_range(3, 0xFFFFFFFF, syscalls.CLOSE_RANGE_CLOEXEC)
    if process.init:
        init.supervise(lambda: execute(process.arguments, channel), channel.close)
    execute(process.arguments, channel)


def _default_signals() -> None:
    """Undo what Python and our own handlers changed.

    A signal that is ignored stays ignored through exec: a shell would not die of SIGPIPE.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ, *FORWARDED):
        signal.signal(number, signal.SIG_DFL)


def _reporter(channel: Channel) -> trace.Listener:
    return lambda event: channel.send(event_message(event))


def _ask_to_kill(channel: Channel) -> None:
    """Let an armed kill hit the host's side, and stop here as the kill found us."""
    channel.send({"kill": True})
    channel.receive()
    os._exit(CANNOT_RUN)


def _open_terminal(channel: Channel) -> None:
    master, slave = terminal.open_pair()
    channel.send({"terminal": True}, master)
    os.close(master)
    terminal.become_controlling(slave)


def _die_with_parent(channel: Channel) -> None:
    """If mydocker is killed, the container goes too. Set last: a change of user would clear it."""
    why = "if mydocker dies, the kernel kills the container: nothing is orphaned"
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL, why=why)
    if channel.broken():  # it died before we said so
        os._exit(CANNOT_RUN)


def execute(arguments: tuple[str, ...], channel: Channel | None = None) -> NoReturn:
    """Become the command ``arguments``, sought on PATH as execvp(3) does it.

    Raises Failure with exit code 127 if there is no such command, 126 if it cannot be executed.
    """
    try:
        _execute(arguments)
    except BaseException as error:
        if channel is None:
            raise
        channel.send(error_message(error))
        os._exit(CANNOT_RUN)


def _execute(arguments: tuple[str, ...]) -> NoReturn:
    name = arguments[0]
    path = os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    places = [name] if "/" in name else [f"{place or '.'}/{name}" for place in path.split(":")]
    found = [place for place in places if os.path.exists(place)]
    if not found:
        where = "no such file or directory" if "/" in name else "executable file not found in $PATH"
        raise Failure(f'exec: "{name}": {where}', "Is it spelt right, and in the image?", NOT_FOUND)
    usable = [place for place in found if os.access(place, os.X_OK) and not os.path.isdir(place)]
    if not usable:
        hint = "It is a directory" if os.path.isdir(found[0]) else "Its x permission is missing"
        raise Failure(f'exec: "{name}": permission denied', hint, NOT_EXECUTABLE)
    try:
        syscalls.execve(usable[0], arguments, dict(os.environ), why="become the command")
    except KernelError as error:
        raise _explained(error, name) from None


def _explained(error: KernelError, name: str) -> KernelError:
    if isinstance(error.errno, int) and error.errno == 2:
        error.hint = (
            f"{name} is there, but the interpreter or dynamic loader that it asks for is not"
        )
        error.exit_code = NOT_FOUND
    elif error.errno == 8:
        error.hint = "Not a program of this machine's kind, or a script without its #! line"
        error.exit_code = NOT_EXECUTABLE
    elif error.errno == 13:
        error.exit_code = NOT_EXECUTABLE
    return error
