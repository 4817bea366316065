"""Work that outlives the command that began it: a process of its own, nobody's child (daemon(7)).

It is forked from what is already loaded, which costs a millisecond where a new Python would cost
twenty, and lets go of everything that belongs to the command: terminal, pipes, locks, ports.
"""

import os
from collections.abc import Callable

from mydocker.kernel import signals, syscalls, trace

_OPEN_FILES = 1 << 20  # no process has more (fs.nr_open)


def begin(name: str, work: Callable[[int], None]) -> int:
    """Let ``work`` happen in a process called ``name``; returns at once.

    Gives a descriptor that becomes readable when ``work`` closes the one it is given, or ends. The
    caller closes it.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        # Twice: a process whose parent has ended is the init's child, which waits for it.
        try:
            if os.fork() == 0:
                _detach(name, theirs)
                work(3)
        finally:
            os._exit(0)
    os.close(theirs)
    signals.reap(pid)
    return ours


def _detach(name: str, ready: int) -> None:
    trace.hush()
    os.setsid()
    signals.as_in_a_new_python()
    os.dup2(ready, 3)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    # A pipe that we kept open would let `mydocker run … | head` wait for us; a lock, everybody.
    syscalls.close_range(4, _OPEN_FILES, 0)
    os.chdir("/")
    call_oneself(name)


def call_oneself(name: str) -> None:
    """Be ``name`` in lists of processes."""
    with open("/proc/self/comm", "w") as file:
        file.write(name)
