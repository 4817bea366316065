"""Our own process on its way through the container: nothing of it may be got hold of inside.

Between joining the container and execve(2), our process is still Python, started from the host's
files, and a program of the container can meet it: always in ``exec``, where others run already.

What could be got hold of, and what stops it:

* ``/proc/PID/exe`` of ours is the host's ``python3``. Opened from inside, it can be written once
  nobody runs it (CVE-2019-5736 replaced runc that way). With an interpreter the file is worth even
  more: every Python program of the host. Modules and libraries cannot be reached, for they are not
  open files but memory, and ``/proc/PID/map_files`` needs powers that a container never has.
* ``/proc/PID/fd`` of ours holds directories of the host until execve(2) closes them (CVE-2024-21626
  walked out through one), and our end of the channel to the host's side.
* ptrace(2) could make our process, with all of root's powers, do anything.

All three ask the kernel the same question, whether the caller may trace us, and to a process that
is not *dumpable* the answer is no for everybody without CAP_SYS_PTRACE in the namespace in which we
were started: PR_SET_DUMPABLE(2const). execve makes the command dumpable again.

A command that *is* ``/proc/self/exe``, or a script whose interpreter is, would be Python itself,
running with the host's file as its own: the child refuses to execute it (``container.child``).

Keys (keyrings(7)) are the other thing that a process has and no namespace hides: without a session
keyring of its own the container would find ours, with the keys of whoever called us.
"""

import errno
import os

from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import KernelError


class Undumpable(Part):
    """From before the process exists: nobody in the container may look into it or trace it.

    The child has it from us, and so there is no moment without; we have it for that moment only. A
    user who is not root would lose access to its own files in /proc, and could map no ids. Nothing
    has to be protected then: the processes inside are the same user's.
    """

    stage = "guard"

    def hides(self) -> bool:
        return os.geteuid() == 0

    def enter(self) -> None:
        if os.geteuid() == 0:  # again: a change of user in a user namespace undid it
            why = "nobody inside may open our files or trace us"
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0, why=why)


class StillUndumpable(Undumpable):
    """Once more, just before the change of user: joining a user namespace undid it."""

    stage = "keys"


class Keyring(Part):
    """Inside: a session keyring of its own, empty, named after the container as runc does it."""

    stage = "keys"

    def __init__(self, name: str) -> None:
        self.name = name

    def enter(self) -> None:
        try:
            syscalls.join_session_keyring(self.name, why="the container must not see our keys")
        except KernelError as error:
            # A kernel without keys, or a seccomp filter around us that hides them: nothing to lose.
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
