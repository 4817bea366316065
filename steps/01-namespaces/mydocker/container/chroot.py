"""A bare chroot(2), as debootstrap(8) and rescue systems leave one in, and what fails there.

The first request in a new mount namespace changes the mount at ``/``, and the last one exchanges
it (pivot_root(2)). In a chroot to a plain directory there is none: the kernel says "Invalid
argument", which tells nobody why.
"""

import errno

from mydocker.kernel import files
from mydocker.kernel.errors import Failure, KernelError

HINT = (
    "This is a chroot, and its / is no mount point: leave it, or bind its directory to itself "
    "before you enter it (mount --bind DIRECTORY DIRECTORY)"
)


def explained(error: Failure) -> Failure:
    """The same error; with the hint if it is this that is the matter."""
    if isinstance(error, KernelError) and error.errno == errno.EINVAL and not error.hint:
        about_root = error.call == "mount" and error.arguments[1] == "/"
        if (about_root or error.call == "pivot_root") and _bare():
            error.hint = HINT
    return error


def _bare() -> bool:
    """True if nothing is mounted at what looks like / to us (proc_pid_mountinfo(5)).

    ::

        36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    """
    try:
        lines = files.read("/proc/self/mountinfo").splitlines()
    except KernelError:  # nor is there a /proc
        return False
    return not any(line.split()[4] == "/" for line in lines)
