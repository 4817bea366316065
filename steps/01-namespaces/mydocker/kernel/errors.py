"""What goes wrong, said in one line.

The library raises these; only a ``main`` prints them. Every error has a *kind*: what the one who
asked can do about it. A kind says nothing of who asked. A command line makes an exit code of it
(``container/commandline.py``), a program that speaks HTTP a status: 404, 409, 400, 403 or 500.

================  ====================  =========================================================
to raise          its ``kind``          what it means
================  ====================  =========================================================
``NotFound``      ``"not found"``       there is nothing of this name or id
``Conflict``      ``"conflict"``        not as things are now: it runs, it is in use, taken, there
``Invalid``       ``"invalid"``         what was asked for can never be: its form, its value
``NotPermitted``  ``"not permitted"``   whoever asked, or we, may not do this
``Failure``       ``"failed"``          all else: the machine, the kernel, a damaged file, a bug
================  ====================  =========================================================
"""

import errno
import os
from types import TracebackType
from typing import Literal, Self

# Exit codes of "Exit status" in docker-run(1)
CANNOT_RUN = 125
NOT_EXECUTABLE = 126
NO_SUCH_COMMAND = 127

Kind = Literal["not found", "conflict", "invalid", "not permitted", "failed"]

# It can come from any file that is opened, and means the same everywhere.
TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)
MORE_OPEN = "The limit on open files is too small: ulimit -n 1024"


class Failure(Exception):
    """A failure that the reader can do something about.

    ``message`` says what failed and with which arguments; ``hint`` says why that usually happens
    and what to try. Both are one line. ``exit_code`` is for the few that have one whatever the
    command was: 126 and 127, of a command that was not executed.
    """

    kind: Kind = "failed"

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        if not self.hint:
            return one_line(self.message)
        stop = "" if self.message.endswith(".") else "."
        return one_line(f"{self.message}{stop} {self.hint}")


class NotFound(Failure):
    """There is nothing of this name or id."""

    kind: Kind = "not found"


class Conflict(Failure):
    """It cannot be done as things are now; it could if they changed."""

    kind: Kind = "conflict"


class Invalid(Failure):
    """What was asked for can never be: its form is wrong, or its value."""

    kind: Kind = "invalid"


class NotPermitted(Failure):
    """Somebody may not do this: whoever asked, or we ourselves."""

    kind: Kind = "not permitted"


OF_KIND: dict[Kind, type[Failure]] = {
    one.kind: one for one in (Failure, NotFound, Conflict, Invalid, NotPermitted)
}
_NOT_PERMITTED = (errno.EPERM, errno.EACCES, errno.EROFS)


def by_errno(number: int | None, *, named: bool = False) -> type[Failure]:
    """The class of error to raise for the kernel's answer ``number``.

    Only with ``named``, for a path or pid that somebody asked for by its name, do the kernel's "no
    such" and "not a directory" say something of what was asked. Anywhere else it is one of our own
    paths that is missing: whoever is told "not found" would make the thing again, and again.
    """
    if number in _NOT_PERMITTED:
        return NotPermitted
    if named and number in (errno.ENOENT, errno.ESRCH):
        return NotFound
    if named and number in (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return Invalid
    return Failure


def kind_of(error: BaseException) -> Kind:
    """The kind of any exception: also of those that Python raises, and of faults in our code."""
    if isinstance(error, Failure):
        return error.kind
    return by_errno(error.errno).kind if isinstance(error, OSError) else "failed"


def one_line(text: str) -> str:
    """``text`` with what is not printable written as Python writes it: ``\\n``, ``\\x1b``.

    What somebody typed is quoted in messages: it must not move the reader's cursor, or begin lines
    that look like messages of their own.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def place(error: BaseException) -> str:
    """Where an exception came from: ``users.py, line 52``; for a fault in our own code.

    Not in the library or in the doors to the kernel: the fault is with whoever called them so.
    """
    found = trace = error.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if "/mydocker/" in path and "/mydocker/kernel/" not in path:
            found = trace
        trace = trace.tb_next
    if found is None:
        return "nowhere"
    return f"{os.path.basename(found.tb_frame.f_code.co_filename)}, line {found.tb_lineno}"


class KernelError(Failure, OSError):
    """The kernel refused a request: the call, its arguments, and the kernel's answer.

    It is an ``OSError``: ``errno`` holds the answer's number (errno(3)). Its kind comes from that.
    """

    def __init__(
        self,
        call: str,
        arguments: tuple[object, ...],
        number: int,
        hint: str = "",
        exit_code: int | None = None,
    ) -> None:
        Failure.__init__(self, call, hint, exit_code)
        self.kind = by_errno(number).kind
        self.call = call
        self.arguments = arguments
        self.errno = number
        self.strerror = os.strerror(number)

    def __str__(self) -> str:
        # Late: the words are needed only now, and an error of the container's side is put in words
        # on the host's, for inside there may be nothing left to import from.
        from mydocker.kernel import words

        self.message = f"{words.call(self.call, self.arguments)}: {self.strerror} ({self.errno})"
        return Failure.__str__(self)


class hints:
    """Give the errors of a block their meaning: ``with hints({EPERM: "run it with sudo"}): …``.

    The wrapper of a system call cannot know why it was called, so the hint is put where the
    meaning is known. The hint of an inner block stays. ``named`` is that of :func:`by_errno`.
    """

    def __init__(self, by_number: dict[int, str], *, named: bool = False) -> None:
        self.by_number = by_number
        self.named = named

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, KernelError) or error.errno is None:
            return
        if self.named:
            error.kind = by_errno(error.errno, named=True).kind
        error.hint = error.hint or self.by_number.get(error.errno, "")
