"""Somebody who exchanges names in a directory while we work in it: a process in a container.

It is a program of its own, as fast as it can be, and it asks the kernel for what a container's root
may do without any privilege: renameat2(2) with RENAME_EXCHANGE, symlink(2), unlink(2).
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from sandbox.patience import patience

# How often a test of this kind tries; a long run says more.
ROUNDS = int(os.environ.get("MYDOCKER_TEST_ROUNDS", "10"))

_PROGRAM = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
here = os.open(sys.argv[1], os.O_RDONLY)
os.chdir(sys.argv[1])
count = 0

def told():
    # That there is a race, once.
    global count
    count += 1
    if count == 1:
        print("exchanged", flush=True)

def exchange(one, other):
    return libc.renameat2(here, one, here, other, 2) == 0

def luring(pairs):
    # As soon as somebody makes NAME, a link has its place; and the next link is ready.
    for name, target in pairs:
        os.symlink(target, b"lure." + name)
    print("ready", flush=True)
    while True:
        for name, target in pairs:
            lure = b"lure." + name
            if exchange(name, lure):
                if not os.path.islink(lure) or os.readlink(lure) != target:
                    told()
                    os.rename(lure, b"caught.%d" % (count % 50)) if not os.path.isdir(lure) \\
                        else os.rename(lure, b"caught.directory.%d" % count)
                    os.symlink(target, lure)

def planting(pairs):
    # Whenever NAME is free, a link takes it.
    print("ready", flush=True)
    while True:
        for name, target in pairs:
            try:
                os.symlink(target, name)
                told()
            except FileExistsError:
                pass

def swapping(pairs):
    print("ready", flush=True)
    while True:
        for one, other in pairs:
            if exchange(one, other):
                told()

def restless(pairs):
    print("ready", flush=True)
    while True:
        for name, kind in pairs:
            if kind == b"file":
                os.truncate(name, 0)
                os.truncate(name, 300000)
            else:
                os.rename(name + b"/deep", name + b".deep")
                os.rename(name, name + b".away")
                os.rename(name + b".away", name)
                os.rename(name + b".deep", name + b"/deep")
            told()

words = [os.fsencode(word) for word in sys.argv[3:]]
pairs = list(zip(words[::2], words[1::2]))
globals()[sys.argv[2]](pairs)
"""


class Racer:
    """The other side of a race, at work."""

    def __init__(self, told: IO[bytes]) -> None:
        self._told = told

    def rounds(self, number: int = ROUNDS) -> Iterator[int]:
        """So many rounds; and more, if it had no turn on the processor until then."""
        yield from range(number)
        end = time.monotonic() + patience(20)
        while not select.select([self._told], [], [], 0)[0]:
            if time.monotonic() > end:
                pytest.fail("nothing was ever exchanged: this was no race")
            yield number


@contextmanager
def luring(directory: Path, how: object = "luring", **names: object) -> Iterator[Racer]:
    """Whatever appears under one of the names is exchanged at once for a link to its path.

    ``how`` "planting": whenever one of the names is free, a link to its path takes it.
    """
    with _racing(str(how), directory, names) as racer:
        yield racer


@contextmanager
def swapping(directory: Path, **names: object) -> Iterator[Racer]:
    """Each name and the other one, which are both there, are exchanged all the time."""
    with _racing("swapping", directory, names) as racer:
        yield racer


@contextmanager
def restless(directory: Path, **names: object) -> Iterator[Racer]:
    """Each name that is a "file" is cut and grows, each "directory" goes away and comes back."""
    with _racing("restless", directory, names) as racer:
        yield racer


@contextmanager
def _racing(how: str, directory: Path, names: dict[str, object]) -> Iterator[Racer]:
    words = [str(word) for pair in names.items() for word in pair]
    command = [sys.executable, "-ISc", _PROGRAM, str(directory), how, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout
    try:
        assert process.stdout.readline() == b"ready\n"
        yield Racer(process.stdout)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
