"""What a process is, seen from inside: for a program that asks before and after it calls us."""

import ctypes
import fcntl
import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

_PR_GET_DUMPABLE = 3


def myself() -> dict[str, Any]:
    """All of this process that a call could change and leave so."""
    gc.collect()  # a descriptor may wait in a circle
    _settle()
    kinds = os.listdir("/proc/self/ns")
    namespaces = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}
    threads = os.listdir("/proc/self/task")
    children = [Path(f"/proc/self/task/{one}/children").read_text() for one in threads]
    return {
        "namespaces": namespaces,
        "descriptors": _descriptors(),
        "children": sorted(" ".join(children).split()),
        "threads": len(threads),
        "handlers": {n: str(signal.getsignal(n)) for n in signal.valid_signals()},
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "wakeup": _wakeup(),
        "dumpable": ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0),
        "umask": _umask(),
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "listeners": _listeners(),
    }


def _settle() -> None:
    """Wait for threads that were joined: join() may return before the kernel's thread ended."""
    end = time.monotonic() + 5
    while len(os.listdir("/proc/self/task")) > threading.active_count() and time.monotonic() < end:
        time.sleep(0.005)


def memory() -> int:
    """Kilobytes that are this process's alone, or shared with others in part: PSS (proc(5))."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is not as it was."""
    return {name: (was, after[name]) for name, was in before.items() if after[name] != was}


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            flags = fcntl.fcntl(int(name), fcntl.F_GETFD)
            found[int(name)] = f"{os.readlink(f'/proc/self/fd/{name}')} {flags}"
        except OSError:
            continue  # that of the listing itself
    return found


def _listeners() -> int:
    from mydocker.kernel import trace

    return len(trace._listeners)


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def _wakeup() -> int:
    now = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(now)
    return now
