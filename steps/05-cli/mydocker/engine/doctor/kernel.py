"""The kernel: its version, its namespaces and who may make them, capabilities, seccomp, ptys."""

import errno
import os
import resource
import stat
from collections.abc import Callable, Iterator

from mydocker.engine.doctor.check import (
    Check,
    failure,
    in_child,
    ok,
    text,
    tried,
    warning,
)
from mydocker.kernel import files, loopback, syscalls
from mydocker.kernel.errors import Failure, KernelError, hints
from mydocker.namespaces.kinds import KINDS, Kind
from mydocker.overlay2.plan import PTS
from mydocker.overlay2.rootfs import pivot

_OLDEST = (5, 10)  # Debian 11; clone3 is of 5.3, volatile overlays of 5.10
_NOBODY = 65534
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_NEW_KERNEL = "Run a newer kernel: Debian 11, Ubuntu 22.04, Fedora, or the Vagrantfile's machine"
_CAPABILITY = "mydocker runs in a container or under a service that took it away: run it outside"


def kernel() -> Iterator[Check]:
    """The checks of this module."""
    yield _version()
    yield tried("clone3", _clone3, {errno.ENOSYS: _NEW_KERNEL})
    yield from map(_namespace, KINDS)
    yield _unprivileged()
    yield tried("pivot_root", lambda: _in_mounts(_pivot), fix=_PIVOT)
    yield tried("terminals", lambda: _in_mounts(_terminal), fix=_DEVPTS)
    yield tried("device nodes", lambda: _in_mounts(_device), fix=_CAPABILITY)
    yield tried("network admin", _network_admin, fix=_CAPABILITY)
    yield tried("resource limits", _resource, fix=_RESOURCE, otherwise=warning)
    yield tried("seccomp", _seccomp, fix=_SECCOMP, otherwise=warning)


def _version() -> Check:
    release = os.uname().release
    numbers = release.split("-")[0].split(".")
    version = (int(numbers[0]), int(numbers[1].rstrip("+")))
    if version < _OLDEST:
        return warning("kernel", f"Linux {release}: older than 5.10", _NEW_KERNEL)
    return ok("kernel", f"Linux {release}, {os.uname().machine}")


def _clone3() -> str:
    in_child(lambda: "", 0, "does clone3(2) work?")
    return "makes a child with a pidfd"


# ---------------------------------------------------------------- namespaces


def _namespace(kind: Kind) -> Check:
    name, option, flag = kind.name, kind.option, kind.flag

    def attempt() -> str:
        before = _inode(name)
        after = in_child(lambda: _inode(name), flag, f"a {option} namespace, to see that it works")
        if flag != syscalls.CLONE_NEWTIME and before == after:
            raise Failure(f"clone3 made no new {option} namespace")
        return kind.isolates

    if flag == syscalls.CLONE_NEWUSER:
        return tried(f"{option} namespace", attempt, _user_fixes(), otherwise=warning)
    serious = failure if flag != syscalls.CLONE_NEWTIME else warning
    return tried(f"{option} namespace", attempt, _NAMESPACE_FIXES, otherwise=serious)


def _inode(name: str) -> str:
    path = "time_for_children" if name == "time" else name
    try:
        return os.readlink(f"/proc/self/ns/{path}")
    except OSError as error:
        raise KernelError("readlink", (f"/proc/self/ns/{path}",), error.errno or 0) from None


_NAMESPACE_FIXES = {
    errno.EINVAL: "This kernel was built without it (CONFIG_NAMESPACES): " + _NEW_KERNEL,
    errno.ENOENT: "This kernel does not know it: " + _NEW_KERNEL,
    errno.EPERM: "A container's seccomp profile or missing CAP_SYS_ADMIN forbids it: run outside",
    errno.ENOSPC: "Allow more: sysctl -w user.max_mnt_namespaces=10000, and the like",
}


def _user_fixes() -> dict[int, str]:
    return {errno.EPERM: _restriction() or "Seccomp may forbid it", errno.ENOSPC: _MAX_USER}


_MAX_USER = "sysctl -w user.max_user_namespaces=15000"


def _unprivileged() -> Check:
    """Can a user who is not root make containers (with a user namespace)?"""
    name, flags = "users without root", syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS

    def mount_something() -> str:
        # AppArmor lets the namespace be made and takes its capabilities away: only a use shows it.
        syscalls.mount("none", _place(), "tmpfs", 0, why="root in a user namespace may mount")
        return "may make user namespaces, and mount in them"

    def attempt() -> str:
        return in_child(mount_something, flags, "does the kernel let users do this?")

    def as_nobody() -> str:
        syscalls.setgroups([], why="try it as a user without rights")
        syscalls.setresgid(_NOBODY, _NOBODY, _NOBODY)
        syscalls.setresuid(_NOBODY, _NOBODY, _NOBODY)
        return attempt()

    try:
        if os.geteuid() != 0:
            return ok(name, attempt())
        return ok(name, in_child(as_nobody, 0, "a user without rights"))
    except Failure as error:
        fix = _restriction() or error.hint
        error.hint = ""
        return warning(name, f"only root can run containers: {error}", fix)


def _restriction() -> str:
    """What keeps users from making user namespaces, as a fix; "" if nothing known does."""
    if text("/proc/sys/user/max_user_namespaces") == "0":
        return _MAX_USER
    if text("/proc/sys/kernel/unprivileged_userns_clone") == "0":  # Debian's and Arch's own
        return "sysctl -w kernel.unprivileged_userns_clone=1"
    if text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":  # Ubuntu 23.10
        return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    if _in_chroot():
        return "This is a chroot, where the kernel forbids it: leave it, or enter it by pivot_root"
    return ""


def _in_chroot() -> bool:
    try:
        return not os.path.samefile("/", "/proc/1/root/.")
    except OSError:  # not root, or another PID namespace: look whether / is a mount point
        mounts = text("/proc/self/mountinfo").splitlines()
        return not any(line.split()[4] == "/" for line in mounts)


# ---------------------------------------------------------------- in a mount namespace


def _place() -> str:
    """A directory to mount on, in a mount namespace that ends with its process."""
    return next(path for path in ("/mnt", "/tmp", "/run", "/proc") if os.path.isdir(path))


def _in_mounts(function: Callable[[str], str]) -> str:
    def inside() -> str:
        place = _place()
        syscalls.mount("none", place, "tmpfs", 0, "mode=755", why="a place to try it in")
        return function(place)

    return in_child(inside, syscalls.CLONE_NEWNS, "mounts that nobody else sees")


def _pivot(place: str) -> str:
    pivot(place)
    if os.listdir("/"):
        raise Failure("after pivot_root(2) the old root is still there")
    return "changes the root, and the old one is gone"


_PIVOT = "The root is the initramfs, or a chroot: boot from a disk, or enter by pivot_root"


def _terminal(place: str) -> str:
    asked = PTS.asked
    syscalls.mount(PTS.source, place, PTS.type, asked.flags, asked.data, why=PTS.why)
    try:
        os.close(os.open(f"{place}/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        raise KernelError("open", (f"{place}/ptmx",), error.errno or 0) from None
    return "a devpts of its own gives a terminal"


_DEVPTS = "The kernel needs CONFIG_UNIX98_PTYS, and a free pty: sysctl kernel.pty.max"


def _device(place: str) -> str:
    path = f"{place}/null"
    files.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3), why="is mknod(2) allowed?")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    except OSError as error:
        raise KernelError("open", (path,), error.errno or 0) from None
    return "mknod makes /dev/null, and it opens (CAP_MKNOD)"


# ---------------------------------------------------------------- capabilities, seccomp


def _network_admin() -> str:
    def inside() -> str:
        loopback.set_up("lo", why="may we change the network?")
        return "sets a link up (CAP_NET_ADMIN)"

    return in_child(inside, syscalls.CLONE_NEWNET, "a network that nobody else sees")


def _resource() -> str:
    def inside() -> str:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        except (OSError, ValueError):
            raise KernelError("setrlimit", ("RLIMIT_CORE", 1), errno.EPERM) from None
        return "may be raised (CAP_SYS_RESOURCE)"

    return in_child(inside, 0, "a process whose limits matter to nobody")


_RESOURCE = "Hard limits cannot be raised (--ulimit), nor OOM scores lowered; else all works"


def _seccomp() -> str:
    def inside() -> str:
        with hints({errno.EINVAL: _SECCOMP}):
            try:
                # No filter at this address: a kernel that knows filters says EFAULT, before it
                # changes anything; one that does not says EINVAL.
                syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
                syscalls.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, why="are there filters?")
            except KernelError as error:
                if error.errno != errno.EFAULT:
                    raise
        return "filters of system calls can be set"

    return in_child(inside, 0, "a process that a filter would not hurt")


_SECCOMP = "The kernel was built without CONFIG_SECCOMP_FILTER"
