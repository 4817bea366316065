"""Programs for the inside of a container that need more than busybox: this machine's Python."""

import os
import re

from sandbox.launcher import Launcher

# Bound read-only from the machine: busybox's image has neither Python nor its libraries
PYTHON = [
    option
    for place in ("/usr", "/lib", "/lib64")
    if os.path.isdir(place)
    for option in ("-v", f"{place}:{place}:ro")
]

# What the scripts below begin with: `call` makes any system call by its number and tells the errno
PRELUDE = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    return "ok" if result != -1 else errno.errorcode[ctypes.get_errno()]
def buffer(data):
    kept = ctypes.create_string_buffer(data)
    call.kept = getattr(call, "kept", []) + [kept]
    return ctypes.addressof(kept)
"""


def python(script: str) -> list[str]:
    """The command that runs ``script``, after the prelude, in a container with PYTHON."""
    return ["/usr/bin/python3", "-ISc", PRELUDE + script]


def status(text: str) -> dict[str, str]:
    """The lines of /proc/PID/status."""
    return dict(re.findall(r"^(\w+):\s*(.*?)\s*$", text, re.MULTILINE))


_made: list[bool] = []


def need_image(mydocker: Launcher) -> None:
    """Make the image busybox if that was not done yet: its making is told in a line of its own."""
    if not _made:
        mydocker(5, "run", "--rm", "--net", "none", "busybox", "true")
        _made.append(True)
