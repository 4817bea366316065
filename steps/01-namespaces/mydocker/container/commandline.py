"""What every ``main`` of the book has in common: the one line of an error, and ``--explain``.

The library raises; this module prints. An error becomes one line on standard error and an exit
code (``exit_codes``), never a traceback (``MYDOCKER_TRACEBACK=1`` shows it, for those who look for
a bug in our code).
"""

import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mydocker.container.exit_codes import OURS, Codes, exit_code
from mydocker.container.flags import Command, JoinedOption, WrongUse
from mydocker.kernel import trace
from mydocker.kernel.errors import CANNOT_RUN, MORE_OPEN, TOO_MANY_OPEN, Failure, one_line, place

if TYPE_CHECKING:  # most commands run no container
    from mydocker.container.running import Ended

_WHOLE = 1000  # characters of a command's first sentence: no "..." in a list of commands


# Docker's other names of commands, where a group has no command of that name
_ALIASES = {"list": "ls", "ps": "ls", "remove": "rm"}


class LazyGroup(click.Group, Command):
    """A group whose commands are imported when called: ``{"list": "module:attribute"}``.

    Its commands end with ``codes`` if they fail, and those named in ``others`` with these.
    """

    command_class = Command

    def __init__(
        self,
        *args: Any,
        lazy: dict[str, str] | None = None,
        codes: Codes = OURS,
        others: Mapping[str, Codes] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}
        self.codes, self.others = codes, others or {}

    def codes_of(self, name: str | None) -> Codes:
        """What its command ``name`` ends with."""
        return self.others.get(name or "", self.codes)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:  # of a group in a group, the inner one is the first to say
            failure.exit_code = exit_code(failure, self.codes_of(ctx.invoked_subcommand))
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known:
            name = _ALIASES.get(name, name)
        found = self.get_command(ctx, name)
        if found is not None or ctx.resilient_parsing:
            return name if found else None, found, args[1:]
        raise self.unknown(ctx, args[0], known)

    def unknown(self, ctx: click.Context, name: str, known: list[str]) -> WrongUse:
        """There is no such command; is there one of nearly that name?"""
        from difflib import get_close_matches

        near = get_close_matches(name, known, 3)
        advice = f"Did you mean {' or '.join(near)}?" if near else ""
        return WrongUse(f"unknown command: {ctx.command_path} {name}", ctx, 1, advice)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.write_commands(ctx, formatter, "Commands", self.list_commands(ctx))

    def write_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter, title: str, names: list[str]
    ) -> None:
        """A section of the help: each command with its first sentence, whole."""
        found = [(name, self.get_command(ctx, name)) for name in names]
        width = max(map(len, self.list_commands(ctx)))  # in all sections the same column
        rows = [
            (name.ljust(width), command.get_short_help_str(_WHOLE))
            for name, command in found
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def default_root() -> str:
    """Where images, layers and containers are kept: MYDOCKER_ROOT or /var/lib/mydocker."""
    return os.environ.get("MYDOCKER_ROOT") or "/var/lib/mydocker"


def default_run() -> str:
    """Where the records of running containers are kept: MYDOCKER_RUN or /run/mydocker."""
    return os.environ.get("MYDOCKER_RUN") or "/run/mydocker"


def explain_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--explain``: tell every request to the kernel; ``--explain=script``: write them down."""

    def start(context: click.Context, option: click.Parameter, value: str | None) -> None:
        if value is not None:
            _explain(context, value)

    option = click.option(
        "--explain",
        cls=JoinedOption,
        is_flag=False,
        flag_value="narration",
        metavar="[script|json[:FILE]]",
        expose_value=False,
        is_eager=True,
        callback=start,
        help="Tell each request to the kernel: where, what, why, and what to type by hand. "
        "--explain=script writes a shell script that builds the same container, --explain=json one "
        "JSON object for each request.",
    )
    return option(command)


def _explain(context: click.Context, value: str) -> None:
    kind, _, file = value.partition(":")
    if kind == "narration":
        from mydocker.kernel.narrator import Narrator

        listener: trace.Listener = Narrator(sys.stderr, coloured=_coloured())
    elif kind == "script":
        from mydocker.kernel.script import Script

        listener = script = Script()
        _at_end.append(lambda: script.write(file, sys.stderr))
    elif kind == "json":
        from mydocker.kernel.recorder import Recorder

        listener = Recorder(file, sys.stderr)
    else:
        hint = "write --explain, --explain=script[:FILE] or --explain=json[:FILE]"
        raise click.UsageError(f"--explain={value}: {hint}")
    context.with_resource(trace.listening(listener))


def _coloured() -> bool:
    """On a terminal, unless the reader wants none (https://no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


_at_end: list[Callable[[], None]] = []


def finish(ended: "Ended") -> NoReturn:
    """Tell what the parts said of the container's end, and end with its exit code."""
    for remark in ended.remarks:
        _complain(remark)
    raise SystemExit(ended.exit_code)


def one_failed(failure: Failure) -> int:
    """Tell of a failure with one thing of several; what the command at work shall end with."""
    _complain(str(failure))
    return _codes(click.get_current_context(silent=True))[failure.kind]


def _codes(context: click.Context | None) -> Codes:
    """What the command of ``context`` ends with, as the nearest group says that knows."""
    while context and context.parent:
        group = context.parent.command
        if isinstance(group, LazyGroup):
            return group.codes_of(context.info_name)
        context = context.parent
    return OURS


def main(command: click.Command, name: str = "mydocker") -> NoReturn:
    """Run a click command as the program: errors in one line, exit codes as Docker's."""
    _open_standard_streams()
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # since packages.py; else it is ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = command.main(prog_name=name, standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        code = _exit_code(error, name)
    _leave(code)


def _exit_code(error: BaseException, name: str) -> int:
    """The exit code for what ended the command; what the user must know of it is told."""
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(bool(error.code))
        case KeyboardInterrupt() | click.Abort():
            return 130
        case BrokenPipeError():
            return 141  # our reader went away, as `… | head` does: 128 + SIGPIPE
        case click.exceptions.Exit():
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError():
            print(error.format_message())  # as docker does it: help, and no failure
            return 0
        case WrongUse():
            _complain(error.told())
            return error.code
        case click.ClickException():
            return _complain(_usage(error, name))
        case Failure():
            if isinstance(error, OSError) and error.errno in TOO_MANY_OPEN and not error.hint:
                error.hint = MORE_OPEN
            _complain(str(error))
            return exit_code(error, OURS)
    return _unforeseen(error)


# What a machine answers wherever a file is touched, and no fault of ours
_OF_THE_MACHINE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG,
    errno.EIO, errno.EDQUOT,
)  # fmt: skip


def _unforeseen(error: BaseException) -> int:
    """Tell of an error that nobody gave a meaning: the machine's, or a fault of ours."""
    if os.environ.get("MYDOCKER_TRACEBACK"):
        raise error
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        full = error.filename or "standard output, or a file"
        return _complain(f"write to {full}: {error.strerror}")
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE and error.filename:
        sudo = error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0
        hint = ". Run it with sudo" if sudo else ""
        return _complain(one_line(f"{error.filename}: {error.strerror}{hint}"))
    if isinstance(error, OSError) and error.errno in TOO_MANY_OPEN:
        return _complain(f"{error.filename or 'open'}: {error.strerror}. {MORE_OPEN}")
    if isinstance(error, NotImplementedError):  # the mark of an exercise, in a student's copy
        return _complain(f"{error}: not written yet ({place(error)})")
    where = f"{place(error)}; MYDOCKER_TRACEBACK=1 shows how it came there"
    what = f"{type(error).__name__}: {error}"
    return _complain(f"internal error: {what} ({where}). Please report it")


def _usage(error: click.ClickException, name: str) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else name
    message = one_line(" ".join(error.format_message().split())).rstrip(".")
    return f"{message}. See '{path} --help'"


def _complain(message: str) -> int:
    try:
        print(f"mydocker: {one_line(message)}", file=sys.stderr)
    except OSError:
        pass  # standard error is a full disk or a closed window: the exit code has to do
    return CANNOT_RUN


def _open_standard_streams() -> None:
    """Whichever of 0, 1 and 2 our caller closed is /dev/null from now on.

    Else the next file that is opened, the channel to the container say, would get that number, and
    be taken for a standard stream by all that comes later.
    """
    while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    # Python has given up on a stream that was closed when it started.
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _leave(code: int) -> NoReturn:
    """End now. Taking the interpreter apart would cost some milliseconds and do nothing for us."""
    try:
        for action in _at_end:
            action()
        sys.stdout.flush()
        if code == 0 and (fast_start := sys.modules.get("fast_start")):  # it may be deleted
            fast_start.save()  # for the next start
    except Failure as failure:
        code = code or _complain(str(failure))
    except BrokenPipeError:
        code = code or 141
    except OSError as error:
        code = code or _complain(f"write to standard output: {error.strerror}")
    try:
        sys.stderr.flush()
    except OSError:
        pass  # nobody is left to be told
    os._exit(code)
