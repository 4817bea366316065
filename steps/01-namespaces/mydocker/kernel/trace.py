"""Each passage through a door becomes an event: told to listeners, counted, and open to faults.

Nothing here costs anything while nobody listens: one comparison and one addition per passage.

**Listeners** are functions that take an :class:`Event`: the narrator of ``--explain``, the script
writer, a test. **Fault injection** makes the k-th passage fail, or kills the process in front of
it; set ``MYDOCKER_FAULT=fail:K`` or ``kill:K`` in the environment. Tests walk K from 1 to the last
passage and look at the machine afterwards. The files that mydocker writes for itself (``whole``)
are no requests and are counted apart: ``full:K`` means that the disk is full from the K-th write
on, ``broken:K`` that the K-th fails with EIO, ``short:K`` that it takes half of what it was given.
"""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mydocker.kernel.errors import Failure, Invalid, KernelError
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import record

_DISK = {"full": errno.ENOSPC, "broken": errno.EIO, "short": 0}

HOST = "host"
CONTAINER = "container"

T = TypeVar("T")


@record
class Event:
    """One request to the kernel, as it was made and answered.

    ``number`` counts from 1 through host and container together; ``side`` is where it was made;
    ``result`` is what the call returned (None for one that does not return, as execve(2));
    ``error`` is the errno of a refused request, else 0; ``why`` is one line for the reader.
    """

    number: int
    side: str
    call: str
    arguments: tuple[object, ...]
    why: str
    result: object = None
    error: int = 0


Listener = Callable[[Event], None]

_listeners: list[Listener] = []
_side = HOST
_number = 0
_fault = ""
_fault_at = 0
_disk_number = 0
_disk_fault = ""
_disk_fault_at = 0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_kill: Callable[[], None] = _die


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell every event meanwhile to ``listener``, in the order in which they happen."""
    _listeners.append(listener)
    try:
        yield
    finally:
        if listener in _listeners:  # and not in a child, where others listen or nobody
            _listeners.remove(listener)


def observed() -> bool:
    """True if the events of the container's side are needed: a listener, or an armed fault."""
    return bool(_listeners) or _fault_at > 0


def count() -> int:
    """The passages so far, host and container together."""
    return _number


def arm(specification: str) -> None:
    """Arm a fault: ``fail:K`` lets the K-th passage fail with EIO, ``kill:K`` dies in front of it.

    And ``full:K``, ``broken:K``, ``short:K`` for the disk. Raises Failure for any other text.
    """
    global _fault, _fault_at, _disk_fault, _disk_fault_at
    kind, _, number = specification.partition(":")
    at = decimal(number, 1 << 62)
    if kind not in ("fail", "kill", *_DISK) or not at:
        raise Invalid(
            f"MYDOCKER_FAULT={specification}: not a fault",
            f"Write fail:K or kill:K, or for the disk one of {', '.join(_DISK)}; K from 1",
        )
    if kind in _DISK:
        _disk_fault, _disk_fault_at = kind, at
    else:
        _fault, _fault_at = kind, at


def armed() -> str:
    """The fault that is armed, as :func:`arm` takes it; "" if there is none."""
    return f"{_fault}:{_fault_at}" if _fault_at else ""


def arm_again(specification: str) -> None:
    """In place of the fault that was armed, arm another one, or with "" none."""
    global _fault_at
    _fault_at = 0
    if specification:
        arm(specification)


def hush() -> None:
    """Tell no more events from this process: it is a fresh copy, and its parent tells them."""
    _listeners.clear()


def report_to(listener: Listener) -> None:
    """From now on tell every event to ``listener`` alone: another process tells the reader."""
    _listeners[:] = [listener]


def become_container(start: int, report: Listener | None, kill: Callable[[], None]) -> None:
    """From now on this process is the container's side: its events go to ``report``.

    ``start`` is the number of the last passage on the host. ``kill`` carries out an armed kill: the
    first process of a PID namespace cannot kill itself, nor reach its parent.
    """
    global _side, _number, _kill
    _side, _number, _kill = CONTAINER, start, kill
    _listeners[:] = [report] if report else []


def relay(event: Event) -> None:
    """An event that the container's side sent: count it and tell it on."""
    global _number
    _number = event.number
    emit(event)


def emit(event: Event) -> None:
    """Tell ``event`` to all who listen."""
    for listener in _listeners:
        listener(event)


def _pass(call: str, arguments: tuple[object, ...]) -> int:
    """Count one passage and let an armed fault happen; the number of the passage."""
    global _number
    _number += 1
    if _number == _fault_at:
        if _fault == "kill":
            _kill()
        raise KernelError(call, arguments, errno.EIO, "A fault was injected here (MYDOCKER_FAULT)")
    return _number


def announce(call: str, arguments: tuple[object, ...], why: str) -> None:
    """Tell of a request that does not return when it succeeds, before it is made: execve(2)."""
    number = _pass(call, arguments)
    if _listeners:
        emit(Event(number, _side, call, arguments, why))


def request(
    call: str, arguments: tuple[object, ...], why: str, function: Callable[..., T], *actual: object
) -> T:
    """Let one request through a door: ``function(*actual)``, told as ``call(arguments)``.

    Raises KernelError, with the call and its arguments, for any OSError of ``function``.
    """
    number = _pass(call, arguments)
    try:
        result = function(*actual)
    except OSError as error:
        answer = error.errno or 0
        if _listeners:
            emit(Event(number, _side, call, arguments, why, None, answer))
        raise KernelError(call, arguments, answer) from None
    except Failure:  # of a command: a part of its batch may have been done
        if _listeners:
            emit(Event(number, _side, call, arguments, why, None, errno.EIO))
        raise
    if _listeners:
        emit(Event(number, _side, call, arguments, why, result))
    return result


def disk_passage() -> bool:
    """One step on the way of a file to the disk; an armed fault happens. True: it is cut short."""
    global _disk_number
    _disk_number += 1
    if not _disk_fault_at or _disk_number < _disk_fault_at:
        return False
    if _disk_number > _disk_fault_at and _disk_fault != "full":
        return False
    if _DISK[_disk_fault]:
        raise OSError(_DISK[_disk_fault], os.strerror(_DISK[_disk_fault]))
    return True


def disk_write(fd: int, data: memoryview) -> int:
    """write(2) of a file of our own: how much it took. An armed fault happens with half of it."""
    try:
        if disk_passage():
            data = data[: len(data) // 2 or 1]
    except OSError:
        os.write(fd, data[: len(data) // 2])
        raise
    return os.write(fd, data)


if os.environ.get("MYDOCKER_FAULT"):
    arm(os.environ["MYDOCKER_FAULT"])
