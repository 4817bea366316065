"""What one look at the machine found, and how a thing is tried without changing the machine."""

import errno
import os
from collections.abc import Callable
from enum import Enum

from mydocker.container import channel, chroot
from mydocker.kernel import signals, syscalls
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record


class State(Enum):
    """How a check ended. Only a failure keeps containers from running."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    NOT_APPLICABLE = "not applicable"


@record
class Check:
    """One check: ``observed`` is what was seen, ``fix`` what to do about it, one line each."""

    name: str
    state: State
    observed: str
    fix: str = ""


def ok(name: str, observed: str) -> Check:
    """All is well."""
    return Check(name, State.OK, observed)


def warning(name: str, observed: str, fix: str = "") -> Check:
    """Containers run, but something will not work, or not as expected."""
    return Check(name, State.WARNING, observed, fix)


def failure(name: str, observed: str, fix: str = "") -> Check:
    """Containers will not run."""
    return Check(name, State.FAILURE, observed, fix)


def not_applicable(name: str, observed: str, fix: str = "") -> Check:
    """Nothing to check here, or nothing that this user can check."""
    return Check(name, State.NOT_APPLICABLE, observed, fix)


def tried(
    name: str,
    attempt: Callable[[], str],
    fixes: dict[int, str] | None = None,
    *,
    fix: str = "",
    otherwise: Callable[[str, str, str], Check] = failure,
) -> Check:
    """The check that ``attempt`` works: it returns what to show, or raises Failure.

    ``fixes`` say what to do by errno, ``fix`` for any other; ``otherwise`` is what its failure
    means. What a user lacks the rights for says nothing about the machine.
    """
    try:
        return ok(name, attempt())
    except Failure as error:
        number = getattr(error, "errno", 0)
        if number in (errno.EPERM, errno.EACCES) and os.geteuid() != 0:
            return not_applicable(name, "only root can try this")
        remedy = (fixes or {}).get(number) or fix or error.hint
        if error.hint == chroot.HINT:
            remedy = error.hint
        error.hint = ""  # it has a line of its own
        return otherwise(name, str(error), remedy)


def in_child(function: Callable[[], str], flags: int, why: str) -> str:
    """What ``function`` returns in a child with namespaces ``flags`` of its own; with it they end.

    Raises the Failure that it raised there. In a mount namespace nothing reaches the host.
    """
    ours, theirs = channel.pair()
    pid, pidfd = syscalls.clone3(flags, why=why)
    if pid == 0:
        try:
            ours.close()
            if flags & syscalls.CLONE_NEWNS:
                private = syscalls.MS_REC | syscalls.MS_PRIVATE
                syscalls.mount("none", "/", None, private)
            theirs.send({"value": function()})
        except BaseException as error:
            theirs.send(channel.error_message(error))
        finally:
            os._exit(0)
    theirs.close()
    try:
        signals.ready(ours.fileno())
        message, _ = ours.receive()
    finally:
        ours.close()
        os.close(pidfd)
        signals.reap(pid)
    if message is None:
        raise Failure("the process that tried it was killed")
    if "error" in message:
        raise chroot.explained(channel.error_of(message))
    return str(message["value"])


def text(path: str) -> str:
    """What a file of the kernel says, without its last newline; "" if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return os.fsdecode(file.readall()).strip()
    except OSError:
        return ""
