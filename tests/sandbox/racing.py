"""Somebody who exchanges names in a directory while we work in it: a process in a container.

It is a program of its own, as fast as it can be, and it asks the kernel for what a container's root
may do without any privilege: renameat2(2) with RENAME_EXCHANGE, symlink(2), unlink(2).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How often a test of this kind tries; a long run says more.
ROUNDS = int(os.environ.get("MYDOCKER_TEST_ROUNDS", "10"))

_PROGRAM = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
here = os.open(sys.argv[1], os.O_RDONLY)
os.chdir(sys.argv[1])
count, ended = 0, False

def end(*_):
    global ended
    ended = True

def exchange(one, other):
    return libc.renameat2(here, one, here, other, 2) == 0

def luring(pairs):
    # As soon as somebody makes NAME, a link has its place; and the next link is ready.
    global count
    for name, target in pairs:
        os.symlink(target, b"lure." + name)
    print("ready", flush=True)
    while not ended:
        for name, target in pairs:
            lure = b"lure." + name
            if exchange(name, lure):
                if not os.path.islink(lure) or os.readlink(lure) != target:
                    count += 1
                    os.rename(lure, b"caught.%d" % (count % 50)) if not os.path.isdir(lure) \\
                        else os.rename(lure, b"caught.directory.%d" % count)
                    os.symlink(target, lure)

def planting(pairs):
    # Whenever NAME is free, a link takes it.
    global count
    print("ready", flush=True)
    while not ended:
        for name, target in pairs:
            try:
                os.symlink(target, name)
                count += 1
            except FileExistsError:
                pass

def swapping(pairs):
    global count
    print("ready", flush=True)
    while not ended:
        for one, other in pairs:
            count += exchange(one, other)

signal.signal(signal.SIGTERM, end)
words = [os.fsencode(word) for word in sys.argv[3:]]
pairs = list(zip(words[::2], words[1::2]))
{"lure": luring, "plant": planting, "swap": swapping}[sys.argv[2]](pairs)
print(count, flush=True)
"""


@contextmanager
def luring(directory: Path, how: str = "lure", **names: Path | str) -> Iterator[None]:
    """Whatever appears under one of the names is exchanged at once for a link to its path.

    ``how`` "plant": whenever one of the names is free, a link to its path takes it.
    """
    with _racing(how, directory, names):
        yield


@contextmanager
def swapping(directory: Path, **names: Path | str) -> Iterator[None]:
    """Each name and the other one, which are both there, are exchanged all the time."""
    with _racing("swap", directory, names):
        yield


@contextmanager
def _racing(how: str, directory: Path, names: dict[str, Path | str]) -> Iterator[None]:
    words = [str(word) for pair in names.items() for word in pair]
    command = [sys.executable, "-ISc", _PROGRAM, str(directory), how, *words]
    racer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert racer.stdout
    try:
        assert racer.stdout.readline() == "ready\n"
        yield
        racer.terminate()
        assert int(racer.stdout.readline()) > 0, "nothing was exchanged: this was no race"
    finally:
        racer.kill()
        racer.wait()
        racer.stdout.close()
