"""Enter the namespaces of a process that runs already: what ``docker exec`` is made of.

A pidfd (pidfd_open(2)) stands for the process and for no other that gets its pid later, and
setns(2) takes one: all of its namespaces are joined by one call, whole or not at all.
"""

import errno
import os

from mydocker.container.parts import Part
from mydocker.container.process import Process
from mydocker.container.running import Ended, run
from mydocker.kernel import signals, syscalls
from mydocker.kernel.errors import Conflict, KernelError, NotPermitted, by_errno, hints
from mydocker.kernel.records import record
from mydocker.namespaces import users
from mydocker.namespaces.kinds import KINDS
from mydocker.namespaces.survey import memberships

_HINTS = {
    errno.EPERM: "To join, you need CAP_SYS_ADMIN in them and over the process: use sudo",
    errno.EINVAL: "setns takes a pidfd since Linux 5.8, and time namespaces in it since 5.10",
    errno.ESRCH: "The process ended meanwhile",
}


def different(pid: int) -> int:
    """The CLONE_NEW* flags of the namespaces in which ``pid`` is and we are not.

    Raises Failure if there is no such process, or we may not look.
    """
    theirs, ours = memberships(pid), memberships("self")
    flags = 0
    for kind in KINDS:
        if theirs.get(kind.name) != ours.get(kind.name):
            flags |= kind.flag
    return flags


@record
class Target:
    """The process whose namespaces are joined. ``root`` is its root directory's descriptor;
    ``uid`` and ``gid`` are who we can be inside, if it has a user namespace of its own."""

    pid: int
    pidfd: int
    root: int
    uid: int
    gid: int

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self.pidfd)
        os.close(self.root)


def find(pid: int) -> Target:
    """Hold on to the process ``pid``. Raises Failure if it is not there, or not ours to enter."""
    told = {errno.ESRCH: "See: ps -e", errno.EINVAL: "A pid is a number from 1 on"}
    with hints(told, named=True):
        pidfd = syscalls.pidfd_open(pid)
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        ids = [_first_id(f"/proc/{pid}/{name}") for name in ("uid_map", "gid_map")]
        # It was alive after we had opened its files, so they were its own.
        syscalls.pidfd_send_signal(pidfd, 0, pid=pid, why="is it still there?")
    except KernelError as error:
        os.close(pidfd)
        raise error
    except OSError as error:
        os.close(pidfd)
        hint = "Use sudo" if error.errno == errno.EACCES else "It has ended"
        raise by_errno(error.errno, named=True)(f"process {pid}: {error.strerror}", hint) from None
    return Target(pid, pidfd, root, *ids)


def _first_id(path: str) -> int:
    with open(path) as file:
        maps = users.parse_map(file.read())
    return min((mapping.inside for mapping in maps), default=0)


@record
class Joined(Part):
    """Namespaces of ``target``, joined instead of made: ``early`` on the host, ``flags`` inside."""

    stage = "shared"

    target: Target
    early: int
    flags: int

    def prepare(self) -> None:
        """On the host, for a user who is not root: into the user namespace, as :func:`enter` says,
        and with the rights from there our next child will be in the PID namespace."""
        if self.early & syscalls.CLONE_NEWUSER:
            self._setns(self.early, "our next child will be in it")

    def pid_namespace(self) -> tuple[int, str]:
        """It takes only children (setns(2)): the caller stays where it is, to relay and to wait."""
        if self.early & syscalls.CLONE_NEWUSER or not self.early:
            return -1, ""
        return self.target.pidfd, f"pidfd of {self.target.pid}"

    def enter(self) -> None:
        """In the child: all the others, then the root directory, then who we are there.

        Those who are inside already may be hostile, and until execve(2) we are a process of the
        host with its descriptors and its memory: nobody shall trace us, or look into our /proc.
        """
        # lab 1.4: join the namespaces of another
        why = "not to be traced, nor our files in /proc opened, by those who are inside already"
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0, why=why)
        if self.flags:
            self._setns(self.flags, "all at once: the kernel finds the order")
        if self.flags & syscalls.CLONE_NEWNS:
            os.fchdir(self.target.root)
            why = "its root directory, which chroot(2) may have set apart from the mounts' root"
            syscalls.chroot(".", shown=f"/proc/{self.target.pid}/root", why=why)
        if (self.flags | self.early) & syscalls.CLONE_NEWUSER:
            users.become(self.target.uid, self.target.gid)
        # end lab

    def _setns(self, flags: int, why: str) -> None:
        with hints(_HINTS):
            syscalls.setns(self.target.pidfd, flags, shown=f"pidfd of {self.target.pid}", why=why)


def _early(flags: int) -> int:
    """What of ``flags`` the host's side must join. Without root, the rights over a PID namespace
    come only from the user namespace that owns it, so both are joined in the same call."""
    early = flags & syscalls.CLONE_NEWPID
    if early and os.geteuid() != 0:
        early |= flags & syscalls.CLONE_NEWUSER
    return early


def enter(pid: int, process: Process, flags: int | None = None, *, run_directory: str) -> Ended:
    """Run ``process`` in the namespaces of ``pid``: those of ``flags``, or all that differ.

    Its cgroups stay ours. Raises Failure if there is nothing to enter, or we may not.

    For a command line, which ends with it: a user who is not root is in the user namespace of
    ``pid`` from then on, for nobody without rights outside can come back from there. Root stays
    where it is.
    """
    others = different(pid)
    if not others:
        hint = f"See: inspect {pid}"
        raise Conflict(f"process {pid} is in the same namespaces as you: nothing to enter", hint)
    chosen = others if flags is None else flags & others
    early = _early(chosen)
    target = find(pid)
    try:
        joined = Joined(target, early, chosen & ~early)
        return run(process, 0, [joined], run_directory=run_directory)
    finally:
        target.close()


def host_name(pid: int) -> str:
    """The host name that ``pid`` sees, asked from inside its UTS namespace. Raises Failure."""
    flags = different(pid) & (syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWUSER)
    if not flags & syscalls.CLONE_NEWUTS:
        return os.uname().nodename
    if os.geteuid() == 0:
        flags = syscalls.CLONE_NEWUTS
    target = find(pid)
    read, write = os.pipe()
    child = syscalls.fork(why="a child goes and asks: we stay in our own namespaces")
    if child == 0:
        try:
            Joined(target, 0, flags).enter()
            os.write(write, os.fsencode(os.uname().nodename))
        finally:
            os._exit(0)
    os.close(write)
    target.close()
    with open(read, "rb") as file:
        name = os.fsdecode(file.read())
    signals.reap(child)
    if not name:
        raise NotPermitted(f"host name of process {pid}: permission denied", _HINTS[errno.EPERM])
    return name
