"""What is taken from those whose code is tried, besides the machine (see ``workplace``).

Their user namespace keeps them from the machine. But root of a user namespace can ask the kernel
for much that no other user can, and many of its holes were found there. So the calls that no test
needs are not answered: step 05's own filter (seccomp(2)), as for a container that is given
CAP_SYS_ADMIN, without what reaches deep into the kernel.
"""

import os
from collections.abc import Iterator

from mydocker.container.parts import Part
from mydocker.security import bpf, guard, seccomp
from mydocker.security.default_profile import default_profile
from mydocker.security.profile import ALLOW, ERRNO, Condition, Profile, Rule
from mydocker.security.specification import Ulimit
from mydocker.security.ulimits import Ulimits

_EPERM = 1
# Of these the tests need the calls: containers are made with them, and with pivot_root.
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_NICE", "CAP_SYS_PTRACE")
_NEVER = (
    "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register "
    "open_by_handle_at lookup_dcookie syslog quotactl quotactl_fd fanotify_init "
    "add_key request_key"
)
_JOIN_SESSION_KEYRING = 1  # what a container is given first: an empty keyring (keyctl(2))


def profile() -> Profile:
    """The profile of the filter: of its rules the first that matches decides."""
    return Profile(
        ERRNO | _EPERM,
        (
            Rule(tuple(_NEVER.split()), ERRNO | _EPERM),
            Rule(("pivot_root",), ALLOW),
            Rule(("keyctl",), ALLOW, (Condition(0, "EQ", _JOIN_SESSION_KEYRING),)),
            *default_profile(_CAPABILITIES).rules,
        ),
    )


def parts(name: str, file_size: int) -> Iterator[Part]:
    """The parts, to be entered as root of the machine: nobody else may lower all of these.

    ``name`` is that of their keyring; ``file_size`` what one file may have.
    """
    yield guard.Keyring(name)
    yield Ulimits((Ulimit("fsize", file_size, file_size), Ulimit("core", 0, 0)))
    yield seccomp.Filter(bpf.compiled(profile(), os.uname().machine))
