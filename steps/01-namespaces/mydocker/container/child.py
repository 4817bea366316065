"""The container's side, from the clone to the command.

Everything here runs in the new process, after clone3(2) and before execve(2). It ends in execve or
in ``os._exit``, never by returning: otherwise there would be two of the program that called us.
"""

import errno
import os
import signal
from typing import TYPE_CHECKING, NoReturn

from mydocker.container import init, terminal
from mydocker.container.channel import Channel, encoded, error_message, event_message
from mydocker.container.parts import Part
from mydocker.container.process import Process
from mydocker.kernel import signals, syscalls, trace
from mydocker.kernel.errors import (
    CANNOT_RUN,
    NO_SUCH_COMMAND,
    NOT_EXECUTABLE,
    Failure,
    Invalid,
    KernelError,
)

if TYPE_CHECKING:
    from mydocker.container.gate import Gate

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def become(
    process: Process, parts: list[Part], channel: Channel, gate: "Gate | None" = None
) -> NoReturn:
    """Enter all parts and become the command. An error goes to the host's side as a message.

    With a ``gate``, in two halves: between them it waits there, and whoever lets it through hears
    the rest.
    """
    try:
        _become(process, parts, channel, gate)
    except BaseException as error:
        channel.send(error_message(error))
    finally:
        os._exit(CANNOT_RUN)


def _become(process: Process, parts: list[Part], channel: Channel, gate: "Gate | None") -> None:
    signals.as_in_a_new_program()
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
        part.reach()
    for part in parts:
        part.enter()
    if process.terminal:
        _open_terminal(channel)
    if process.directory:
        _start_in(process.directory)
    if gate is not None:
        channel = _wait(gate, channel)  # until another process says go
    else:
        _die_with_parent(channel)
        # Whatever the reader's shell or our caller had open is not the container's business: a
        # directory among it would be a way out of the container.
        syscalls.close_range(3, 0xFFFFFFFF, syscalls.CLOSE_RANGE_CLOEXEC)
    if process.init:
        init.supervise(lambda: execute(process, channel))
    execute(process, channel)


def _wait(gate: "Gate", channel: Channel) -> Channel:
    """Say that all is done but the last step, and wait for somebody to ask for that; a channel to
    them. Who made us may end from now on."""
    channel.send({"created": True})
    message, _ = channel.receive()
    if message is None:  # it died before it had written down that we wait: nobody would find us
        os._exit(CANNOT_RUN)
    channel.close()
    told, answers = gate.wait()
    listener = _reporter(answers) if told.get("observed") else None
    trace.become_container(told.get("go", 0), listener, lambda: _ask_to_kill(answers))
    trace.arm_again(told.get("fault", ""))
    return answers


def _reporter(channel: Channel) -> trace.Listener:
    return lambda event: channel.send(event_message(event))


def _ask_to_kill(channel: Channel) -> None:
    """Let an armed kill hit the host's side, and stop here as the kill found us."""
    channel.send({"kill": True})
    channel.receive()
    os._exit(CANNOT_RUN)


def _open_terminal(channel: Channel) -> None:
    master, slave = terminal.open_pair()
    # Before the command runs: it may ask for the size at once. Ours are still the reader's streams.
    terminal.copy_size_of_reader(slave)
    channel.send({"terminal": True}, master)
    os.close(master)
    terminal.become_controlling(slave)


def _die_with_parent(channel: Channel) -> None:
    """If mydocker is killed, the container goes too. Set last: a change of user would clear it."""
    why = "if mydocker dies, the kernel kills the container: nothing is orphaned"
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL, why=why)
    if channel.broken():  # it died before we said so
        os._exit(CANNOT_RUN)


def _start_in(directory: str) -> None:
    """Change to ``directory``, and to no place outside of the container's root.

    ``/proc/self/fd/7`` is a directory of the host if descriptor 7 is one that our caller left open
    (CVE-2024-21626): the command would start outside, and ``..`` leads on.
    """
    syscalls.chdir(directory, why="where the command starts")
    if not syscalls.getcwd().startswith("/"):
        raise Invalid(f"working directory {directory}: is outside of the container's root")


def execute(process: Process, channel: Channel) -> NoReturn:
    """Become the command of ``process``, sought on PATH as execvp(3) does it.

    The host's side is told a Failure with exit code 127 if there is no such command, 126 if it
    cannot be executed.
    """
    try:
        _execute(process, channel)
    except BaseException as error:
        channel.send(error_message(error))
        os._exit(CANNOT_RUN)


def _execute(process: Process, channel: Channel) -> NoReturn:
    name, arguments = process.arguments[0], process.arguments
    path = name if "/" in name else search(name)
    environment = dict(os.environ)

    def answer(number: int) -> bytes:
        return encoded(error_message(_explained(KernelError("execve", (path,), number), name)))

    process.execute(path, environment, channel, answer)
    try:
        syscalls.execve(path, arguments, environment, why="become the command")
    except KernelError as error:
        raise _explained(error, name) from None


def search(name: str) -> str:
    """Where the command is on PATH: the first that can be executed. Directories do not count."""
    places = [place or "." for place in os.environ.get("PATH", _DEFAULT_PATH).split(":")]
    found = [path for place in places if os.path.isfile(path := f"{place}/{name}")]
    for path in found:
        if os.access(path, os.X_OK):
            return path
    if found:
        hint = f"{found[0]} has no x permission"
        raise Invalid(f'exec: "{name}": permission denied', hint, NOT_EXECUTABLE)
    message = f'exec: "{name}": executable file not found in $PATH'
    hint = "Is it spelt right, and in the image?"
    if name.startswith("-"):
        hint = "Options go before the image: what follows it is the command"
    raise Invalid(message, hint, NO_SUCH_COMMAND)


def _explained(error: KernelError, name: str) -> Failure:
    """What a refused execve(2) means: errno alone does not say whose fault it is."""
    if error.errno == errno.ENOENT and not os.path.exists(name) and "/" in name:
        message = f'exec: "{name}": no such file or directory'
        return Invalid(message, "Is it spelt right, and in the image?", NO_SUCH_COMMAND)
    if error.errno == errno.EACCES:
        hint = "Its x permission is missing"
        if os.path.isdir(name):
            hint = "It is a directory"
        return Invalid(f'exec: "{name}": permission denied', hint, NOT_EXECUTABLE)
    error.kind = "invalid"
    error.exit_code = NO_SUCH_COMMAND if error.errno == errno.ENOENT else NOT_EXECUTABLE
    error.hint = error.hint or _MEANINGS.get(error.errno or 0, "")
    return error


_MEANINGS = {
    errno.ENOENT: "It is there, but not the interpreter or dynamic loader that it asks for",
    errno.ENOTDIR: "Something in the middle of its path is not a directory",
    errno.ENOEXEC: "Not a program of this machine's kind, or a script without its #! line",
    errno.E2BIG: "Arguments and environment together may have a quarter of the stack's limit",
    errno.ETXTBSY: "Somebody has it open for writing",
}
