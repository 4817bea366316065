"""The filter in front of all system calls of a container (seccomp(2)), and no_new_privs.

An exec or a fork keeps the filter, and nothing takes it away. Who may install one? Whoever cannot
use it to fool a set-user-ID program, so: with CAP_SYS_ADMIN, or after PR_SET_NO_NEW_PRIVS, which
makes every later exec ignore set-user-ID bits and file capabilities.

To see it: ``grep -E 'Seccomp|NoNewPrivs' /proc/PID/status`` (2: a filter).
"""

import errno
import os
from functools import lru_cache

from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Invalid, hints
from mydocker.security import bpf
from mydocker.security.default_profile import default_profile
from mydocker.security.profile import Profile, allows, here, parse

# What our own process has still to do when the filter is there: the last of the capabilities, a
# question to the channel, closing what is open, and the exec.
_OURS = (
    "capset", "prctl", "recvfrom", "sendmsg", "close_range", "chdir", "newfstatat", "execve",
    "exit_group", "brk", "mmap", "munmap", "read", "write", "close",
)  # fmt: skip

_HINTS = {
    errno.EINVAL: "The kernel must be built with CONFIG_SECCOMP_FILTER, or: seccomp=unconfined",
    errno.ENOSYS: "The kernel must be built with CONFIG_SECCOMP, or: seccomp=unconfined",
    errno.EACCES: "Without no-new-privileges it needs CAP_SYS_ADMIN: add no-new-privileges",
}


_PROFILES = 8  # whose programs are kept: who lives long meets any number of them


class NoNewPrivileges(Part):
    """Inside, at the end: no exec from here on gives more than its caller has (prctl(2))."""

    stage = "powers"

    def enter(self) -> None:
        why = "set-user-ID programs and file capabilities give nothing any more"
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1, why=why)


class Filter(Part):
    """Inside, at the end: from here on the kernel runs ``program`` before each system call."""

    stage = "powers"

    def __init__(self, program: bytes, flags: int = 0) -> None:
        self.program, self.flags = program, flags

    def enter(self) -> None:
        why = "system calls that containers need, and no others"
        with hints(_HINTS):
            syscalls.seccomp(self.program, self.flags, why=why)


@lru_cache(_PROFILES)
def program(text: str, capabilities: tuple[str, ...]) -> bytes:
    """The program of the JSON profile ``text``, or if it is empty of the default profile.

    Raises Failure for a wrong profile, and for one that would stop us before the command runs.
    """
    if not text:
        return bpf.compiled(default_profile(capabilities), os.uname().machine)
    profile = parse(text, here(capabilities))
    _check(profile)
    return bpf.compiled(profile, os.uname().machine)


def _check(profile: Profile) -> None:
    missing = [name for name in _OURS if not allows(profile, name)]
    if missing:
        hint = "Between the filter and the command mydocker itself makes these: allow them"
        raise Invalid(f"seccomp profile: it does not allow {', '.join(missing)}", hint)
