"""A request as a line of shell: what to type to make the same one by hand.

The tools are those that every Debian has or that the book installs: util-linux (mount, unshare,
nsenter, setpriv), coreutils, procps, iproute2, nftables. Requests that no tool can make get a
comment.
"""

import os
import shlex
import signal
import stat
from collections.abc import Callable

from mydocker.kernel import constants
from mydocker.kernel.trace import Event

# unshare(1)'s and nsenter(1)'s option for each flag
NAMESPACE_OPTIONS = {
    constants.CLONE_NEWUSER: "user",
    constants.CLONE_NEWNS: "mount",
    constants.CLONE_NEWPID: "pid",
    constants.CLONE_NEWUTS: "uts",
    constants.CLONE_NEWIPC: "ipc",
    constants.CLONE_NEWNET: "net",
    constants.CLONE_NEWCGROUP: "cgroup",
    constants.CLONE_NEWTIME: "time",
}
_PROPAGATION = {
    constants.MS_PRIVATE: "private",
    constants.MS_SLAVE: "slave",
    constants.MS_SHARED: "shared",
    constants.MS_UNBINDABLE: "unbindable",
}
_MOUNT_OPTIONS = {
    constants.MS_RDONLY: "ro",
    constants.MS_NOSUID: "nosuid",
    constants.MS_NODEV: "nodev",
    constants.MS_NOEXEC: "noexec",
    constants.MS_SYNCHRONOUS: "sync",
    constants.MS_DIRSYNC: "dirsync",
    constants.MS_NOATIME: "noatime",
    constants.MS_NODIRATIME: "nodiratime",
    constants.MS_RELATIME: "relatime",
    constants.MS_STRICTATIME: "strictatime",
}
_ATTRIBUTES = {
    constants.MOUNT_ATTR_RDONLY: "ro",
    constants.MOUNT_ATTR_NOSUID: "nosuid",
    constants.MOUNT_ATTR_NODEV: "nodev",
    constants.MOUNT_ATTR_NOEXEC: "noexec",
    constants.MOUNT_ATTR_NOATIME: "noatime",
    constants.MOUNT_ATTR_STRICTATIME: "strictatime",
    constants.MOUNT_ATTR_NODIRATIME: "nodiratime",
}

word = shlex.quote


def namespace_options(flags: int) -> list[str]:
    """unshare(1)'s options for CLONE_NEW* flags."""
    return [f"--{option}" for flag, option in NAMESPACE_OPTIONS.items() if flags & flag]


def line(event: Event) -> str:
    """The shell command for one event; a comment, beginning with ``#``, if there is none."""
    translate = _TRANSLATORS.get(event.call)
    if translate is None:
        return f"# no shell command makes this request: {event.call}(2)"
    return translate(*event.arguments)


def _clone3(flags: int, group: str = "") -> str:
    command = f"unshare {' '.join(namespace_options(flags))} --fork --kill-child COMMAND"
    return f"(echo 0 > {word(group)}/cgroup.procs; exec {command})" if group else command


def _unshare(flags: int) -> str:
    return f"unshare {' '.join(namespace_options(flags))} COMMAND"


def _setns(target: object, flags: int) -> str:
    if isinstance(target, str) and not target.isdecimal():
        kinds = [option for flag, option in NAMESPACE_OPTIONS.items() if flags & flag]
        return f"nsenter --{kinds[0]}={word(target)} COMMAND"
    return f"nsenter --target {target} {' '.join(namespace_options(flags))} COMMAND"


def _mount(source: str, target: str, kind: str, flags: int, data: str) -> str:
    for flag, name in _PROPAGATION.items():
        if flags & flag:
            recursive = "r" if flags & constants.MS_REC else ""
            return f"mount --make-{recursive}{name} {word(target)}"
    if flags & constants.MS_MOVE:
        return f"mount --move {word(source)} {word(target)}"
    options = [name for flag, name in _MOUNT_OPTIONS.items() if flags & flag]
    if flags & constants.MS_REMOUNT:
        bind = ["bind"] if flags & constants.MS_BIND else []
        return f"mount -o {','.join(['remount', *bind, *options])} {word(target)}"
    if flags & constants.MS_BIND:
        recursive = "r" if flags & constants.MS_REC else ""
        return f"mount --{recursive}bind {word(source)} {word(target)}"
    options += [data] if data else []
    given = f" -o {word(','.join(options))}" if options else ""
    return f"{_whole(data)}mount -t {kind}{given} {word(source)} {word(target)}"


def _whole(data: str) -> str:
    """For mount(8): if it needs mount(2), which takes all options as one text of up to a page.

    Since util-linux 2.39 it makes the newer fsconfig(2), in which no value of an option may have
    more than 255 bytes: the lowerdir of nine layers has more.
    """
    long = any(len(os.fsencode(option.partition("=")[2])) > 255 for option in data.split(","))
    return "LIBMOUNT_FORCE_MOUNT2=always " if long else ""


def _umount2(target: str, flags: int) -> str:
    lazy = "-l " if flags & constants.MNT_DETACH else ""
    return f"umount {lazy}{word(target)}"


def _move_mount(source: str | int, target: str) -> str:
    if isinstance(source, str):  # picked up by open_tree(2) just before, in order to be put here
        return f"mount --rbind {word(source)} {word(target)}"
    return "# no shell command makes this request: move_mount(2)"


def _mount_setattr(
    path: str, flags: int, attributes: int, cleared: int = 0, propagation: int = 0
) -> str:
    if propagation:
        recursive = "r" if flags & constants.AT_RECURSIVE else ""
        return f"mount --make-{recursive}{_PROPAGATION[propagation]} {word(path)}"
    options = [name for flag, name in _ATTRIBUTES.items() if attributes & flag]
    if options and not cleared & ~constants.MOUNT_ATTR__ATIME:
        # Of one mount only: mount(8) learned ro=recursive after Debian 12, and busybox's never did
        return f"mount -o {','.join(['remount', 'bind', *options])} {word(path)}"
    return "# no shell command makes this request: mount_setattr(2)"


def _write(path: str, value: str) -> str:
    if "\n" in value:
        return f"printf '%s\\n' {' '.join(map(word, value.splitlines()))} > {word(path)}"
    return f"echo {word(value)} > {word(path)}"


def _create(path: str, value: str, mode: int = 0o644) -> str:
    return f"printf %s {word(value)} > {word(path)}; chmod {mode:o} {word(path)}"


def _mkdir(path: str, mode: int) -> str:
    given = "" if mode == 0o755 else f"-m {mode:o} "
    return f"mkdir {given}{word(path)}"


def _mknod(path: str, mode: int, device: int) -> str:
    kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}.get(stat.S_IFMT(mode))
    given = f"-m {stat.S_IMODE(mode):o}"
    if kind is None:
        return f"touch {word(path)}"
    numbers = "" if kind == "p" else f" {os.major(device)} {os.minor(device)}"
    return f"mknod {given} {word(path)} {kind}{numbers}"


def _prctl(option: int, value: int | list[str]) -> str:
    if isinstance(value, list):
        dropped = ",".join(f"-{name.lower().removeprefix('cap_')}" for name in value)
        return f"setpriv --bounding-set {dropped} COMMAND" if value else "# nothing to take away"
    if option == constants.PR_SET_PDEATHSIG and value:
        return f"unshare --kill-child={signal.Signals(value).name} COMMAND"
    if option == constants.PR_SET_NO_NEW_PRIVS:
        return "setpriv --no-new-privs COMMAND"
    if option == constants.PR_SET_KEEPCAPS:
        return "capsh --keep=1 -- -c COMMAND"
    if option == constants.PR_SET_DUMPABLE:
        return "# a shell gets this by the exec of setpriv"
    return "# no shell command makes this request: prctl(2)"


def _setrlimit(name: str, soft: int, hard: int) -> str:
    soft_, hard_ = ("unlimited" if value == -1 else str(value) for value in (soft, hard))
    return f"prlimit --{name.lower()}={soft_}:{hard_} COMMAND"


def _setgroups(*groups: int) -> str:
    given = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return f"setpriv {given} COMMAND"


def _execve(path: str, arguments: list[str], *_: object) -> str:
    return f"exec {' '.join(map(word, [path, *arguments[1:]]))}"


def _ioctl(request: str, name: str = "", *rest: object) -> str:
    if request == "TIOCSCTTY":
        return "setsid --ctty COMMAND"
    if request == "FS_IOC_FSSETXATTR":
        return f"chattr +P -p {rest[0]} {word(name)}"
    return f"ip link set {word(name)} up" if request == "SIOCSIFFLAGS" else "# no shell command"


def _quotactl_fd(path: str, _command: str, _kind: str, project: int, size: int) -> str:
    limit = f"setquota -P {project} 0 {-(-size // 1024)} 0 0"
    return f'{limit} "$(stat -c %m {word(path)})"  # the mount point'


def _sched_setattr(
    policy: int, flags: int, nice: int, priority: int, runtime: int, deadline: int, period: int
) -> str:
    names = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}
    reset = "--reset-on-fork " if flags & 1 else ""
    times = (
        f"--sched-runtime {runtime} --sched-deadline {deadline} --sched-period {period} "
        if policy == 6
        else ""
    )
    renice = f"nice -n {nice} " if nice else ""
    return f"chrt {reset}{times}--{names.get(policy, policy)} {priority} {renice}COMMAND"


def _signal(pid: int, number: int) -> str:
    name = signal.Signals(number).name.removeprefix("SIG") if number else "0"
    return f"kill -{name} {pid}"


def _batch(command: str, text: str) -> str:
    lines = text.strip().splitlines()
    if command == "ip -batch -" and len(lines) == 1:
        return f"ip {lines[0]}"
    return "\n".join([f"{command} <<END", *lines, "END"])


_TRANSLATORS: dict[str, Callable[..., str]] = {
    "clone3": _clone3,
    "fork": lambda: "COMMAND &",
    "unshare": _unshare,
    "setns": _setns,
    "sethostname": lambda name: f"hostname {word(name)}",
    "setdomainname": lambda name: f"echo {word(name)} > /proc/sys/kernel/domainname",
    "prctl": _prctl,
    "capset": lambda *_: "setpriv --inh-caps=-all COMMAND  # an exec takes what is not in bounding",
    "keyctl": lambda _, name: f"keyctl session {word(name)} COMMAND",
    "sched_setattr": _sched_setattr,
    "ioprio_set": lambda kind, level: f"ionice -c {kind} -n {level} COMMAND",
    "personality": lambda domain: f"setarch {'linux32' if domain == 8 else 'linux64'} COMMAND",
    "sched_setaffinity": lambda cpus: f"taskset -c {cpus} COMMAND",
    "setrlimit": _setrlimit,
    "setsid": lambda: "setsid COMMAND",
    "setresuid": lambda ruid, euid, suid: f"setpriv --reuid {euid} COMMAND",
    "setresgid": lambda rgid, egid, sgid: f"setpriv --regid {egid} COMMAND",
    "setgroups": _setgroups,
    "execve": _execve,
    "pidfd_send_signal": _signal,
    "mount": _mount,
    "umount2": _umount2,
    "open_tree": lambda *_: "# open_tree(2) picks it up: no command of its own, see the next",
    "move_mount": _move_mount,
    "mount_setattr": _mount_setattr,
    "pivot_root": lambda new, old: f"pivot_root {word(new)} {word(old)}",
    "chdir": lambda path: f"cd {word(path)}",
    "write": _write,
    "create": _create,
    "mkdir": _mkdir,
    "rmdir": lambda path: f"rmdir {word(path)}",
    "unlink": lambda path: f"rm {word(path)}",
    "remove_tree": lambda path: f"rm -rf --one-file-system {word(path)}",
    "rename": lambda old, new: f"mv -T {word(old)} {word(new)}",
    "symlink": lambda target, path: f"ln -s {word(target)} {word(path)}",
    "mknod": _mknod,
    "chmod": lambda path, mode: f"chmod {mode:o} {word(path)}",
    "chown": lambda path, uid, gid: f"chown -h {uid}:{gid} {word(path)}",
    "ioctl": _ioctl,
    "quotactl_fd": _quotactl_fd,
    "ip": lambda text: _batch("ip -batch -", text),
    "nft": lambda text: _batch("nft -f -", text),
    "conntrack": lambda address: f"conntrack -D --reply-src {word(address)} || :  # or had none",
}
