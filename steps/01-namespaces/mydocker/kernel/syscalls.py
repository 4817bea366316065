"""System calls, each as a thin function with the name of its man page in section 2.

Python's ``os`` knows fork and exec, but not the calls that make a container. libc knows most of
them; the youngest have no wrapper in libc either and are made by number through syscall(2). Each
function converts its arguments, calls, and raises :class:`~mydocker.kernel.errors.KernelError` if
the kernel refused. ``why`` is one line for the reader of ``--explain``.

Privileges: almost all of these need CAP_SYS_ADMIN in the user namespace that owns what they change;
the man page of each says which.
"""

# ruff: noqa: F405  (the names in capitals are those of the star)

import ctypes
import os
from collections.abc import Callable, Sequence
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint, c_uint64, c_ulong, c_void_p
from typing import Any, NoReturn

from mydocker.kernel import trace
from mydocker.kernel.constants import *  # noqa: F403  (a call and its flags are read together)
from mydocker.kernel.errors import KernelError


class clone_args(ctypes.Structure):
    """struct clone_args of clone3(2)."""

    _fields_ = [
        ("flags", c_uint64),
        ("pidfd", c_uint64),
        ("child_tid", c_uint64),
        ("parent_tid", c_uint64),
        ("exit_signal", c_uint64),
        ("stack", c_uint64),
        ("stack_size", c_uint64),
        ("tls", c_uint64),
        ("set_tid", c_uint64),
        ("set_tid_size", c_uint64),
        ("cgroup", c_uint64),
    ]


class open_how(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = [("flags", c_uint64), ("mode", c_uint64), ("resolve", c_uint64)]


class mount_attr(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = [
        ("attr_set", c_uint64),
        ("attr_clr", c_uint64),
        ("propagation", c_uint64),
        ("userns_fd", c_uint64),
    ]


class sock_fprog(ctypes.Structure):
    """struct sock_fprog of <linux/filter.h>: a program in classic BPF."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", c_void_p)]


def _check(result: int, function: object, arguments: object) -> int:
    """What every call has in common: -1 means refused, and errno says why."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


_libc = ctypes.CDLL(None, use_errno=True)


def _prototype(name: str, *argtypes: Any, restype: Any = c_int) -> Callable[..., int]:
    function = getattr(_libc, name)
    function.argtypes, function.restype, function.errcheck = argtypes, restype, _check
    return function  # type: ignore[no-any-return]


_mount = _prototype("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
_umount2 = _prototype("umount2", c_char_p, c_int)
_unshare = _prototype("unshare", c_int)
_setns = _prototype("setns", c_int, c_int)
_sethostname = _prototype("sethostname", c_char_p, c_size_t)
_setdomainname = _prototype("setdomainname", c_char_p, c_size_t)
_prctl = _prototype("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)
_capget = _prototype("capget", c_void_p, c_void_p)
_capset = _prototype("capset", c_void_p, c_void_p)
_setrlimit = _prototype("setrlimit", c_int, c_void_p)
_fstatfs = _prototype("fstatfs", c_int, c_void_p)
_syscall = _prototype("syscall", restype=c_long)  # variadic: callers wrap each argument
_number = c_long


def _bytes(text: str | bytes | os.PathLike[str] | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _make(
    call: str,
    arguments: tuple[object, ...],
    why: str,
    function: Callable[..., int],
    *actual: object,
) -> int:
    return trace.request(call, arguments, why, function, *actual)


# ---------------------------------------------------------------- processes and namespaces


def clone3(flags: int, *, cgroup: str = "", why: str = "") -> tuple[int, int]:
    """Make a child in new namespaces (clone3(2)): ``(pid, pidfd)``, and ``(0, -1)`` in the child.

    ``flags`` are CLONE_NEW* values. The child is a copy of this process, as by fork(2), with
    SIGCHLD as its exit signal. Needs CAP_SYS_ADMIN, or CLONE_NEWUSER among the flags. Call it from
    a program with one thread only: the child has a copy of just the calling one.

    ``cgroup`` is the directory of a group of cgroup v2 for the child to be born in (Linux 5.7). To
    move it there later costs some 10 ms more: the kernel first lets all forks everywhere finish.
    """
    pidfd = c_int(-1)
    group = os.open(cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if cgroup else -1
    flags |= CLONE_INTO_CGROUP if cgroup else 0
    arguments = clone_args(
        flags=flags | CLONE_PIDFD,
        pidfd=ctypes.addressof(pidfd),
        exit_signal=17,  # SIGCHLD
        cgroup=max(group, 0),
    )

    def clone() -> int:
        # libc has fork handlers, and so has Python: tell it before and after, as os.fork does.
        # PyDLL keeps the interpreter's lock, so that the child comes to life holding it.
        ctypes.pythonapi.PyOS_BeforeFork()
        pid = _clone(
            _number(SYS_clone3), ctypes.byref(arguments), c_size_t(ctypes.sizeof(arguments))
        )
        number = ctypes.get_errno()
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            trace.hush()  # one request, one event: the parent tells it
        else:
            ctypes.pythonapi.PyOS_AfterFork_Parent()
        if pid == -1:
            raise OSError(number, os.strerror(number))
        return int(pid)

    try:
        pid = trace.request("clone3", (flags, cgroup) if cgroup else (flags,), why, clone)
    finally:
        if group >= 0:
            os.close(group)
    return (pid, pidfd.value) if pid else (0, -1)


_clone = ctypes.PyDLL(None, use_errno=True).syscall
_clone.restype = c_long


def fork(*, why: str = "") -> int:
    """Make a copy of this process (fork(2)): its pid, and 0 in the copy. Told before it is made."""
    trace.announce("fork", (), why)
    return os.fork()


def unshare(flags: int, *, why: str = "") -> None:
    """Move this process into new namespaces (unshare(2)); PID and time ones take its next child."""
    _make("unshare", (flags,), why, _unshare, flags)


def setns(fd: int, nstype: int, *, why: str = "", shown: str = "") -> None:
    """Join the namespaces behind ``fd``, a ``/proc/PID/ns/*`` file or a pidfd (setns(2)).

    ``shown`` replaces the descriptor's number in events: the path or pid that it stands for.
    """
    _make("setns", (shown or fd, nstype), why, _setns, fd, nstype)


def sethostname(name: str, *, why: str = "") -> None:
    """Set the host name of this UTS namespace, at most 64 bytes (sethostname(2))."""
    data = os.fsencode(name)
    _make("sethostname", (name,), why, _sethostname, data, len(data))


def setdomainname(name: str, *, why: str = "") -> None:
    """Set the NIS domain name of this UTS namespace, at most 64 bytes (setdomainname(2))."""
    data = os.fsencode(name)
    _make("setdomainname", (name,), why, _setdomainname, data, len(data))


def prctl(option: int, value: int = 0, third: int = 0, *, why: str = "") -> int:
    """Set one property of this process (prctl(2))."""
    return _make("prctl", (option, value), why, _prctl, option, value, third, 0, 0)


def dumpable() -> bool:
    """May others of our user trace this process (PR_GET_DUMPABLE)? Changes nothing: no event."""
    return _prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1


def capget() -> tuple[int, int, int]:
    """The ``(effective, permitted, inheritable)`` capabilities of this process, each a set of bits.

    capget(2). Changes nothing: no event.
    """
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _capget(header, data)
    effective, permitted, inheritable = (data[n] | data[n + 3] << 32 for n in range(3))
    return effective, permitted, inheritable


def capset(effective: int, permitted: int, inheritable: int, *, why: str = "") -> None:
    """Set the capabilities of this process, each argument a set of bits (capset(2)).

    Nothing can be had that is not permitted already.
    """
    sets = (effective, permitted, inheritable)
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(*(s & 0xFFFFFFFF for s in sets), *(s >> 32 for s in sets))
    _make("capset", sets, why, _capset, header, data)


def last_capability() -> int:
    """The number of the last capability that this kernel has (prctl(2)). No event."""
    number = 0
    while True:
        try:
            _prctl(PR_CAPBSET_READ, number, 0, 0, 0)
        except OSError:
            return number - 1
        number += 1


def capbset_drop(numbers: Sequence[int], *, names: Sequence[str] = (), why: str = "") -> None:
    """Take capabilities out of the bounding set: one prctl(2) for each, told as one request.

    Needs CAP_SETPCAP. ``names`` replace the numbers in the event.
    """

    def drop() -> int:
        for number in numbers:
            _prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
        return 0

    _make("prctl", (PR_CAPBSET_DROP, list(names or numbers)), why, drop)


def seccomp(program: bytes, flags: int = 0, *, why: str = "") -> None:
    """Put a filter in front of all system calls to come, 8 bytes an instruction (seccomp(2)).

    ``flags`` are SECCOMP_FILTER_FLAG_* values. Needs no_new_privs, or CAP_SYS_ADMIN in its user
    namespace. It can never be taken away.
    """
    code = ctypes.create_string_buffer(program, len(program))
    filter_ = sock_fprog(len(program) // 8, ctypes.addressof(code))
    mode = c_uint(SECCOMP_SET_MODE_FILTER)
    raw = (_number(SYS_seccomp), mode, c_uint(flags), ctypes.byref(filter_))
    told = ("SECCOMP_SET_MODE_FILTER", f"{len(program) // 8} instructions")
    _make("seccomp", told, why, _syscall, *raw)


class sched_attr(ctypes.Structure):
    """<linux/sched/types.h>, its first form of 48 bytes."""

    _fields_ = (
        ("size", c_uint),
        ("sched_policy", c_uint),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", c_int),
        ("sched_priority", c_uint),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
    )


def sched_setattr(
    policy: int,
    flags: int = 0,
    nice: int = 0,
    priority: int = 0,
    times: tuple[int, int, int] = (0, 0, 0),
    *,
    why: str = "",
) -> None:
    """Set how this thread is scheduled (sched_setattr(2)); ``policy`` is a SCHED_* value.

    ``times`` are runtime, deadline and period of SCHED_DEADLINE, in nanoseconds. More than
    SCHED_OTHER with a nice value of 0 or more needs CAP_SYS_NICE of the first user namespace.
    """
    size = ctypes.sizeof(sched_attr)
    attributes = sched_attr(size, policy, flags, nice, priority, *times)
    raw = (_number(SYS_sched_setattr), c_int(0), ctypes.byref(attributes), c_uint(0))
    _make("sched_setattr", (policy, flags, nice, priority, *times), why, _syscall, *raw)


def ioprio_set(kind: int, level: int, *, why: str = "") -> None:
    """Set class and level of this thread's disk traffic (ioprio_set(2)).

    ``kind``: 1 real time, which needs CAP_SYS_ADMIN or CAP_SYS_NICE, 2 best effort, 3 idle.
    """
    raw = (_number(SYS_ioprio_set), c_int(1), c_int(0), c_int(kind << 13 | level))
    _make("ioprio_set", (kind, level), why, _syscall, *raw)


def personality(domain: int, *, why: str = "") -> None:
    """Set which kernel this process and what it executes seem to run on (personality(2))."""
    _make("personality", (domain,), why, _syscall, _number(SYS_personality), c_ulong(domain))


def sched_setaffinity(cpus: frozenset[int], *, why: str = "") -> None:
    """Let this thread run on these CPUs only (sched_setaffinity(2)).

    CPUs that its cpuset does not have are passed over by the kernel; without any left: EINVAL.
    """

    def bind() -> None:
        os.sched_setaffinity(0, cpus)

    trace.request("sched_setaffinity", (",".join(map(str, sorted(cpus))),), why, bind)


def join_session_keyring(name: str, *, why: str = "") -> None:
    """Leave the session keyring for a new one called ``name`` (keyctl_join_session_keyring(3))."""
    raw = (_number(SYS_keyctl), c_int(KEYCTL_JOIN_SESSION_KEYRING), c_char_p(_bytes(name)))
    _make("keyctl", ("KEYCTL_JOIN_SESSION_KEYRING", name), why, _syscall, *raw)


def setrlimit(resource: int, soft: int, hard: int, *, shown: str = "", why: str = "") -> None:
    """Set one limit of this process, -1 for none (setrlimit(2)); ``shown`` is its name.

    To raise ``hard`` needs CAP_SYS_RESOURCE.
    """
    limits = (c_ulong * 2)(soft, hard)  # -1 is RLIM_INFINITY
    _make("setrlimit", (shown or resource, soft, hard), why, _setrlimit, resource, limits)


def chdir(path: str, *, why: str = "") -> None:
    """Make ``path`` the working directory of this process (chdir(2))."""
    trace.request("chdir", (path,), why, os.chdir, path)


def chroot(path: str, *, why: str = "", shown: str = "") -> None:
    """Make ``path`` the root directory of this process, and of no other (chroot(2)).

    Needs CAP_SYS_CHROOT. ``shown`` replaces ``path`` in events.
    """
    trace.request("chroot", (shown or path,), why, os.chroot, path)


def setsid(*, why: str = "") -> int:
    """Begin a new session without a controlling terminal (setsid(2)); the session's id."""
    trace.request("setsid", (), why, os.setsid)
    return os.getpid()


def setresuid(ruid: int, euid: int, suid: int, *, why: str = "") -> None:
    """Set the real, effective and saved user id of this thread (setresuid(2)). Needs CAP_SETUID.

    Not by libc, which has all threads do the same (nptl(7)), and waits for them. After clone3(2) it
    takes the threads of our parent for ours: a child waited for ever for one that was beginning.
    """
    raw = (_number(SYS_setresuid), c_uint(ruid), c_uint(euid), c_uint(suid))
    _make("setresuid", (ruid, euid, suid), why, _syscall, *raw)


def setresgid(rgid: int, egid: int, sgid: int, *, why: str = "") -> None:
    """Set the real, effective and saved group id of this thread, as :func:`setresuid` the user."""
    raw = (_number(SYS_setresgid), c_uint(rgid), c_uint(egid), c_uint(sgid))
    _make("setresgid", (rgid, egid, sgid), why, _syscall, *raw)


def setgroups(groups: Sequence[int], *, why: str = "") -> None:
    """Set the supplementary groups of this thread (setgroups(2)), as :func:`setresuid` the user.

    Needs CAP_SETGID and setgroups "allow".
    """
    numbers = (c_uint * len(groups))(*groups)
    raw = (_number(SYS_setgroups), c_size_t(len(groups)), numbers)
    _make("setgroups", tuple(groups), why, _syscall, *raw)


def execve(
    path: str,
    arguments: Sequence[str],
    environment: dict[str, str],
    *,
    through: int = -1,
    why: str = "",
) -> NoReturn:
    """Replace this program by ``path`` (execve(2)); told before, as success does not return.

    ``through`` is a descriptor of a program that does it in our place: it is executed, with
    ``path`` as its name and the arguments after it.
    """
    trace.announce("execve", (path, list(arguments), environment), why)
    try:
        if through >= 0:
            os.execve(through, [path, *arguments], environment)
        os.execve(path, list(arguments), environment)
    except OSError as error:
        raise KernelError("execve", (path,), error.errno or 0) from None


# ---------------------------------------------------------------- pidfds: a process without pid
# races


def pidfd_open(pid: int) -> int:
    """A file descriptor for the process ``pid`` (pidfd_open(2)). Changes nothing: no event."""
    try:
        return _syscall(_number(SYS_pidfd_open), c_int(pid), c_uint(0))
    except OSError as error:
        raise KernelError("pidfd_open", (pid,), error.errno or 0) from None


def pidfd_send_signal(pidfd: int, sig: int, *, pid: int = 0, why: str = "") -> None:
    """Send ``sig`` to the process behind ``pidfd`` (pidfd_send_signal(2)); events tell ``pid``."""
    number = (_number(SYS_pidfd_send_signal), c_int(pidfd), c_int(sig), c_void_p(None), c_uint(0))
    _make("pidfd_send_signal", (pid or pidfd, sig), why, _syscall, *number)


def getcwd() -> str:
    """The working directory, which begins with ``(unreachable)`` if it is outside of our root.

    getcwd(2); libc hides that answer. Changes nothing: no event.
    """
    buffer = ctypes.create_string_buffer(4096)
    length = _syscall(_number(SYS_getcwd), buffer, c_ulong(len(buffer)))
    return os.fsdecode(buffer.raw[: length - 1])


def close_range(first: int, last: int, flags: int) -> None:
    """Close a range of descriptors, or mark it CLOSE_RANGE_CLOEXEC (close_range(2)). No event."""
    _syscall(_number(SYS_close_range), c_uint(first), c_uint(last), c_uint(flags))


# ---------------------------------------------------------------- mounts


def mount(
    source: str,
    target: str,
    filesystemtype: str | None,
    mountflags: int = 0,
    data: str | None = None,
    *,
    why: str = "",
    shown: str = "",
    source_shown: str = "",
) -> None:
    """Attach a filesystem, bind a directory, or change how it is mounted (mount(2)).

    ``shown`` replaces ``target`` in events, ``source_shown`` ``source``: the paths behind a
    ``/proc/self/fd/N``.
    """
    kind, told_data = filesystemtype or "", data or ""
    told = (source_shown or source, shown or target, kind, mountflags, told_data)
    raw = (_bytes(source), _bytes(target), _bytes(filesystemtype), mountflags, _bytes(data))
    _make("mount", told, why, _mount, *raw)


def mount_setattr(
    path: str | int,
    flags: int,
    attr_set: int,
    attr_clr: int = 0,
    propagation: int = 0,
    *,
    why: str = "",
    shown: str = "",
) -> None:
    """Add MOUNT_ATTR_* to the mount at ``path``, with AT_RECURSIVE to those below it as well.

    mount_setattr(2), Linux 5.12. ``path`` may be a descriptor, of open_tree(2) for example.
    ``attr_clr`` are taken away, ``propagation`` is MS_SHARED or one of its like. ``shown`` replaces
    ``path`` in events.
    """
    attributes = mount_attr(attr_set=attr_set, attr_clr=attr_clr, propagation=propagation)
    place, name = (AT_FDCWD, _bytes(path)) if isinstance(path, str) else (path, b"")
    actual = flags if name else flags | AT_EMPTY_PATH
    raw = (c_int(place), c_char_p(name), c_uint(actual), ctypes.byref(attributes))
    size = c_size_t(ctypes.sizeof(attributes))
    changed = (attr_set, attr_clr, propagation) if attr_clr or propagation else (attr_set,)
    told = (shown or path, flags, *changed)
    _make("mount_setattr", told, why, _syscall, _number(SYS_mount_setattr), *raw, size)


def openat2(dirfd: int, path: str | bytes, flags: int, resolve: int) -> int:
    """Open ``path`` below ``dirfd``, led no further than RESOLVE_* allow (openat2(2), Linux 5.6).

    It is used to look and to hold (O_PATH): no event.
    """
    how = open_how(flags=flags | os.O_CLOEXEC, resolve=resolve)
    raw = (c_int(dirfd), c_char_p(_bytes(path)), ctypes.byref(how), c_size_t(ctypes.sizeof(how)))
    try:
        return _syscall(_number(SYS_openat2), *raw)
    except OSError as error:
        raise KernelError("openat2", (dirfd, path), error.errno or 0) from None


def umount2(target: str, flags: int = 0, *, why: str = "") -> None:
    """Take a mount away (umount2(2)); MNT_DETACH: from the tree now, really when unused."""
    _make("umount2", (target, flags), why, _umount2, _bytes(target), flags)


def pivot_root(new_root: str, put_old: str, *, why: str = "") -> None:
    """Make ``new_root`` the root mount and move the old one to ``put_old`` (pivot_root(2))."""
    raw = (_number(SYS_pivot_root), c_char_p(_bytes(new_root)), c_char_p(_bytes(put_old)))
    _make("pivot_root", (new_root, put_old), why, _syscall, *raw)


def fsopen(fsname: str, *, why: str = "") -> int:
    """Begin to configure a new filesystem (fsopen(2), Linux 5.2): a context's descriptor."""
    return _make(
        "fsopen", (fsname,), why, _syscall, _number(SYS_fsopen), c_char_p(_bytes(fsname)), c_uint(1)
    )


def fsconfig(fd: int, command: int, key: str | None, value: str | None, *, why: str = "") -> None:
    """Set one parameter of a context, or create the filesystem (fsconfig(2), Linux 5.2)."""
    raw = (c_int(fd), c_uint(command), c_char_p(_bytes(key)), c_char_p(_bytes(value)), c_int(0))
    _make(
        "fsconfig",
        (fd, command, key or "", value or ""),
        why,
        _syscall,
        _number(SYS_fsconfig),
        *raw,
    )


def fsmount(fd: int, *, why: str = "") -> int:
    """Make a mount, not yet attached, of a configured filesystem (fsmount(2), Linux 5.2)."""
    raw = (_number(SYS_fsmount), c_int(fd), c_uint(1), c_uint(0))
    return _make("fsmount", (fd,), why, _syscall, *raw)


def open_tree(path: str | int, flags: int, *, why: str = "", shown: str = "") -> int:
    """A descriptor for a mount, with OPEN_TREE_CLONE for a detached copy of it (open_tree(2)).

    ``path`` may be a descriptor (O_PATH) of what the mount shall show. ``shown`` replaces it in
    events.
    """
    place, name = (AT_FDCWD, _bytes(path)) if isinstance(path, str) else (path, b"")
    actual = flags if name else flags | AT_EMPTY_PATH
    raw = (_number(SYS_open_tree), c_int(place), c_char_p(name), c_uint(actual))
    return _make("open_tree", (shown or path, flags), why, _syscall, *raw)


def move_mount(
    fd: int, target: str | int, *, why: str = "", shown: str = "", source_shown: str = ""
) -> None:
    """Attach the mount behind ``fd`` at ``target`` (move_mount(2), Linux 5.2).

    ``target`` may be a descriptor. In events ``shown`` replaces it, and ``source_shown`` ``fd``.
    """
    place, name = (AT_FDCWD, _bytes(target)) if isinstance(target, str) else (target, b"")
    raw = (c_int(fd), c_char_p(b""), c_int(place), c_char_p(name))
    flags = c_uint(MOVE_MOUNT_F_EMPTY_PATH | (0 if name else MOVE_MOUNT_T_EMPTY_PATH))
    told = (source_shown or fd, shown or target)
    _make("move_mount", told, why, _syscall, _number(SYS_move_mount), *raw, flags)


def fstatfs(fd: int) -> int:
    """The magic number of the filesystem that ``fd`` is on, as PROC_SUPER_MAGIC (fstatfs(2)).

    Changes nothing: no event.
    """
    told = (c_ulong * 32)()  # struct statfs: 120 bytes, of which the first word is f_type
    try:
        _fstatfs(fd, told)
    except OSError as error:
        raise KernelError("fstatfs", (fd,), error.errno or 0) from None
    return told[0]


# ---------------------------------------------------------------- eBPF


class bpf_prog_load_attr(ctypes.Structure):
    """The begin of union bpf_attr of bpf(2) for BPF_PROG_LOAD; the kernel takes the rest as 0."""

    _fields_ = [
        ("prog_type", c_uint),
        ("insn_cnt", c_uint),
        ("insns", c_uint64),
        ("license", c_uint64),
        ("log_level", c_uint),
        ("log_size", c_uint),
        ("log_buf", c_uint64),
        ("kern_version", c_uint),
        ("prog_flags", c_uint),
    ]


class bpf_prog_attach_attr(ctypes.Structure):
    """The begin of union bpf_attr of bpf(2) for BPF_PROG_ATTACH."""

    _fields_ = [
        ("target_fd", c_uint),
        ("attach_bpf_fd", c_uint),
        ("attach_type", c_uint),
        ("attach_flags", c_uint),
    ]


def _bpf(command: int, attributes: ctypes.Structure) -> tuple[object, ...]:
    size = c_uint(ctypes.sizeof(attributes))
    return (_number(SYS_bpf), c_int(command), ctypes.byref(attributes), size)


def bpf_prog_load(prog_type: int, instructions: bytes, *, why: str = "") -> int:
    """Give the kernel an eBPF program, 8 bytes an instruction (bpf(2)): its descriptor.

    Needs CAP_BPF, before Linux 5.8 CAP_SYS_ADMIN. The kernel refuses what it cannot prove to end.
    """
    count = len(instructions) // 8
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_ = ctypes.create_string_buffer(b"GPL")
    attributes = bpf_prog_load_attr(
        prog_type=prog_type,
        insn_cnt=count,
        insns=ctypes.addressof(code),
        license=ctypes.addressof(license_),
    )
    told = ("BPF_PROG_LOAD", prog_type, f"{count} instructions")
    return _make("bpf", told, why, _syscall, *_bpf(BPF_PROG_LOAD, attributes))


def bpf_prog_attach(
    attach_type: int, program: int, target: int, *, shown: str = "", why: str = ""
) -> None:
    """Hang the program on what ``target`` describes, a cgroup's directory (bpf(2)).

    ``shown`` replaces the descriptor's number in events. Other programs there stay.
    """
    attributes = bpf_prog_attach_attr(
        target_fd=target,
        attach_bpf_fd=program,
        attach_type=attach_type,
        attach_flags=BPF_F_ALLOW_MULTI,
    )
    told = ("BPF_PROG_ATTACH", attach_type, shown or target)
    _make("bpf", told, why, _syscall, *_bpf(BPF_PROG_ATTACH, attributes))
