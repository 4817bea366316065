"""Runs programs of another processor: `python3 -m vm.foreign MACHINE COMMAND…`.

The kernel lets QEMU's user emulation execute them (Documentation/admin-guide/binfmt-misc.rst). To
register that for the whole host would be for the reader to decide; so it is done in a user
namespace of its own, which has its own binfmt_misc since Linux 6.7, and ends with the command.
All users are mapped to themselves: what the command makes on the disk belongs to whom it should.
Man pages: user_namespaces(7), unshare(2), mount(2).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import NoReturn

from vm import lifeline

CLONE_NEWNS = 0x00020000  # include/uapi/linux/sched.h
CLONE_NEWUSER = 0x10000000

INTERPRETERS = {"aarch64": "qemu-aarch64-static", "x86_64": "qemu-x86_64-static"}
PACKAGE = "qemu-user-static"
REGISTER = "/proc/sys/fs/binfmt_misc/register"

# How an ELF program of the machine begins, and which of these bits count: class, byte order,
# version; ABI left out; an executable or a shared object (2 or 3); e_machine.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x{:02x}\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_E_MACHINE = {"aarch64": 183, "x86_64": 62}  # include/uapi/linux/elf-em.h

_libc = ctypes.CDLL(None, use_errno=True)


def command(machine: str, *words: str) -> list[str]:
    """The command line that runs `words`, a program of `machine`, from the repository's root."""
    return [sys.executable, "-m", "vm.foreign", machine, *words]


def rule(machine: str, interpreter: str) -> str:
    """The line to register. F: the interpreter is opened now, so it is found in a chroot too."""
    magic = _MAGIC.format(_E_MACHINE[machine])
    return f":mydocker-{machine}:M::{magic}:{_MASK}:{interpreter}:F"


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def run(machine: str, words: list[str]) -> NoReturn:
    """In the namespaces: register, become the command."""
    _check(_libc.mount(b"none", b"/proc/sys/fs/binfmt_misc", b"binfmt_misc", 0, None),
           "mount(binfmt_misc) (a user namespace has its own since Linux 6.7)")  # fmt: skip
    interpreter = f"/usr/bin/{INTERPRETERS[machine]}"
    # One write: the kernel takes a line at a time.
    descriptor = os.open(REGISTER, os.O_WRONLY)
    os.write(descriptor, rule(machine, interpreter).encode())
    os.close(descriptor)
    os.execvp(words[0], words)


def main(machine: str, words: list[str]) -> int:
    """The command's exit code."""
    separated, told = os.pipe()
    mapped, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            lifeline.die_with_parent()
            os.close(tell)
            _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
            os.write(told, b"x")
            if os.read(mapped, 1):
                run(machine, words)
        except OSError as error:
            print(f"vm: cannot run programs of {machine} here: {error}", file=sys.stderr)
        os._exit(125)
    os.close(told)
    if os.read(separated, 1):  # else it failed and said so
        for kind in ("uid", "gid"):
            Path(f"/proc/{child}/{kind}_map").write_text("0 0 65536\n")
        os.write(tell, b"x")
    os.close(tell)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
