"""What goes wrong, said in one line.

The library raises these; only a ``main`` prints them. Every error knows the exit code that a user
of Docker expects: 125 our own failure, 126 a command that cannot be executed, 127 a command that
is not there (see "Exit status" in docker-run(1)).
"""

import errno
import os
from types import TracebackType
from typing import Self

CANNOT_RUN = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127

# It can come from any file that is opened, and means the same everywhere.
TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)
MORE_OPEN = "The limit on open files is too small: ulimit -n 1024"


class Failure(Exception):
    """A failure that the reader can do something about.

    ``message`` says what failed and with which arguments; ``hint`` says why that usually happens
    and what to try. Both are one line.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = CANNOT_RUN) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        if not self.hint:
            return one_line(self.message)
        stop = "" if self.message.endswith(".") else "."
        return one_line(f"{self.message}{stop} {self.hint}")


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

    It is an ``OSError``: ``errno`` holds the answer's number (errno(3)).
    """

    def __init__(
        self,
        call: str,
        arguments: tuple[object, ...],
        number: int,
        hint: str = "",
        exit_code: int = CANNOT_RUN,
    ) -> None:
        Failure.__init__(self, call, hint, exit_code)
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
    meaning is known. The hint of an inner block stays.
    """

    def __init__(self, by_number: dict[int, str]) -> None:
        self.by_number = by_number

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, KernelError) and not error.hint and error.errno is not None:
            error.hint = self.by_number.get(error.errno, "")
