"""The small first process of ``--init``: it starts the command, hands signals on, collects zombies.

The first process of a PID namespace has two duties that few programs know of. Orphans become its
children, and stay zombies until it waits for them. And the kernel drops every signal to it for
which it has no handler (pid_namespaces(7)), so that a plain ``sleep`` as PID 1 does not stop on
SIGTERM.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from mydocker.kernel import syscalls
from mydocker.kernel.errors import CANNOT_RUN, place

_KEPT = {signal.SIGKILL, signal.SIGSTOP}  # nobody can wait for these
_FAULTS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
}  # our own, not to be passed on


def supervise(command: Callable[[], NoReturn]) -> NoReturn:
    """Be PID 1: run ``command`` in a child and end with its exit code, 128+n after a signal."""
    if os.getpid() != 1:  # no PID namespace of our own: orphans come to us all the same
        why = "orphans among our descendants become our children, as if we were PID 1"
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1, why=why)
    watched = set(signal.valid_signals()) - _KEPT - _FAULTS
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = syscalls.fork(why="PID 1 stays our reaper; the command becomes its child")
    if child == 0:
        _lead(watched)
        command()
    # We do not exec, so what is to be closed then stays open here, and the command could reach it
    # by /proc/1/fd. With it goes our end of the channel: the host's side hears the command start.
    syscalls.close_range(3, 0xFFFFFFFF, 0)
    try:
        _watch(child, watched)
    except BaseException as error:  # nobody listens to the channel any more
        told = f"mydocker: in the container: {type(error).__name__}: {error} ({place(error)})\n"
        os.write(2, told.encode())
    finally:
        os._exit(CANNOT_RUN)


def _watch(child: int, watched: set[signal.Signals]) -> NoReturn:
    while True:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            _pass_on(child, number)
        elif (status := _reap(child)) is not None:
            os._exit(status)


def _lead(watched: set[signal.Signals]) -> None:
    """Lead a process group of its own, in the foreground of the terminal if there is one.

    Else Ctrl-C would reach the command twice, from the terminal and through its parent.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # else taking the foreground would stop us
    with suppress(OSError):  # no terminal
        os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
    # In a PID namespace the kernel ends all when PID 1 dies; without one, this does it.
    why = "if the init dies, the command goes too"
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL, why=why)


def _pass_on(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


def _reap(child: int) -> int | None:
    """Collect every dead child; the exit code if the command was among them."""
    # lab 1.3: collect the dead
    status = None
    while True:
        try:
            pid, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == child:
            code = os.waitstatus_to_exitcode(raw)
            status = code if code >= 0 else 128 - code
    # end lab
