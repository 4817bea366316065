"""What a hostile submission tries: run inside of a check, by the text that stands in an exercise.

``worked`` fills with the names of what the kernel has let it do. None of it changes anything, even
where there is no defence: a file is opened for writing and not written, a call is made in a form
that is refused as senseless (EINVAL, ENOENT, …) by a kernel that has found it permitted. Each runs
in a process of its own, and does its harm only where the host name is ``lab``.

``told`` is what the test outside has put there to be found: see test_hostile.py.
"""

import ctypes
import errno
import os
import resource
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from functools import partial

assert os.uname().nodename == "lab"
libc = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine
# As in step 05's table of numbers, which is not asked here: what runs here may be its student's
NUMBERS = {
    "x86_64": "ptrace 101 syslog 103 iopl 172 acct 163 settimeofday 164 swapon 167 swapoff 168 "
    "init_module 175 delete_module 176 quotactl 179 adjtimex 159 clock_settime 227 kexec_load 246 "
    "add_key 248 keyctl 250 perf_event_open 298 open_by_handle_at 304 bpf 321 userfaultfd 323 "
    "io_uring_setup 425",
    "aarch64": "ptrace 117 syslog 116 acct 89 settimeofday 170 swapon 224 swapoff 225 "
    "init_module 105 delete_module 106 quotactl 60 adjtimex 171 clock_settime 112 kexec_load 104 "
    "add_key 217 keyctl 219 perf_event_open 241 open_by_handle_at 265 bpf 280 userfaultfd 282 "
    "io_uring_setup 425",
}[MACHINE].split()
NUMBER = dict(zip(NUMBERS[::2], map(int, NUMBERS[1::2]), strict=True))
REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)
BIND, REC, REMOUNT, RDONLY, DETACH = 4096, 16384, 32, 1, 2


def call(name: str, *arguments: object) -> int:
    """The errno of a system call; 0 if it was done."""
    ctypes.set_errno(0)
    plain = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return ctypes.get_errno() if libc.syscall(NUMBER[name], *plain) == -1 else 0


def permitted(name: str, *arguments: object) -> bool:
    """Would the kernel do it? It has not refused it, whatever else it did not like."""
    return name in NUMBER and call(name, *arguments) not in REFUSED


def opens(path: str, flags: int = os.O_WRONLY) -> bool:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError:
        return False
    return True


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> int:
    ctypes.set_errno(0)
    texts = [text.encode() if text else None for text in (source, target, kind)]
    done = libc.mount(*texts, ctypes.c_ulong(flags), data.encode() or None)
    return ctypes.get_errno() if done == -1 else 0


def writable(top: str, but: tuple[str, ...]) -> list[str]:
    """The files below ``top`` that can be opened for writing, without those that begin with one of
    ``but``, which belong to the namespaces inside."""
    found = []
    for directory, below, names in os.walk(top):
        below[:] = [one for one in below if not f"{directory}/{one}/".startswith(but)]
        paths = [f"{directory}/{name}" for name in names]
        found += [path for path in paths if not path.startswith(but) and opens(path)]
    return found


# ---------------------------------------------------------------- the whole machine

# What belongs to the namespaces that they are in, and root of those may write (pid_max: Linux 6.14)
_OF_NAMESPACES = (
    "net/", "user/", "fs/mqueue/", "kernel/shm", "kernel/msg", "kernel/sem", "kernel/auto_msgmni",
    "kernel/ns_last_pid", "kernel/pid_max",
)  # fmt: skip


def switches() -> Iterator[tuple[str, Callable[[], object]]]:
    for top in ("/proc/sys", "/tmp/fresh-proc/sys"):
        own = tuple(f"{top}/{name}" for name in _OF_NAMESPACES)
        yield f"a switch in {top}", partial(switches_in, top, own)
    yield "a switch in /sys", lambda: writable("/sys", ("/sys/fs/cgroup/", *networks("/sys")))
    yield (
        "a switch in a /sys of its own",
        lambda: writable(
            fresh("sysfs"), ("/tmp/fresh-sysfs/fs/cgroup/", *networks("/tmp/fresh-sysfs"))
        ),
    )
    for path in ("/proc/sysrq-trigger", "/proc/kcore", "/proc/kmsg", "/dev/kmsg", "/dev/mem"):
        yield path, partial(opened_at_all, path)


def opened_at_all(path: str) -> bool:
    return opens(path) or opens(path, os.O_RDONLY)


def switches_in(top: str, own: tuple[str, ...]) -> list[str]:
    fresh("proc")
    return writable(top, own)


def networks(sys: str) -> tuple[str, ...]:
    return f"{sys}/devices/virtual/net/", f"{sys}/class/net/"


def fresh(kind: str) -> str:
    """A filesystem of the kernel, mounted once more."""
    place = f"/tmp/fresh-{kind}"
    os.makedirs(place, exist_ok=True)
    libc.unshare(0x20000000)  # a PID namespace of its own, of which a child sees /proc
    if kind == "proc" and os.fork():
        os.waitpid(-1, 0)
        os._exit(0)
    mount(kind, place, kind)
    return place


def calls() -> Iterator[tuple[str, Callable[[], object]]]:
    zone = ctypes.create_string_buffer(8)
    libc.gettimeofday(None, zone)
    # The time zone as it is; a length of a tick that no clock has
    yield "set the clock", lambda: permitted("settimeofday", 0, zone)
    tick = ctypes.create_string_buffer(struct.pack("I", 0x4000), 256)
    yield "tune the clock", lambda: permitted("adjtimex", tick)
    yield "load a module", lambda: permitted("init_module", 0, 0, b"")
    yield "unload a module", lambda: permitted("delete_module", b"mydocker_none", 0)
    yield "load a kernel", lambda: permitted("kexec_load", 0, 100000, 0, 0)
    yield "swap", lambda: permitted("swapon", b"/none", 0) or permitted("swapoff", b"/none")
    yield "accounting", lambda: permitted("acct", b"/none")
    yield "the kernel's log", lambda: permitted("syslog", 8, 0, 0)
    yield "ports of the hardware", lambda: permitted("iopl", 3)
    yield "quotas", lambda: permitted("quotactl", 0x80000700, b"/none", 0, 0)
    event = ctypes.create_string_buffer(struct.pack("IIQ", 1, 128, 0), 128)
    yield "watch all processors", lambda: permitted("perf_event_open", event, -1, 0, -1, 0)
    yield "eBPF", lambda: permitted("bpf", 11, ctypes.create_string_buffer(128), 128)
    yield "userfaultfd", lambda: permitted("userfaultfd", 0)
    yield "io_uring", lambda: permitted("io_uring_setup", 1, ctypes.create_string_buffer(256))
    yield "keys of the user", lambda: permitted("keyctl", 0, -4, 1)
    yield "a key", lambda: permitted("add_key", b"user", b"mydocker", b"x", 1, -1)
    yield "first in the queue", first
    yield "real time", real_time
    for name, family in (("virtual machines", 40), ("the kernel's cryptography", 38)):
        yield f"a socket of {name}", partial(socket.socket, family, 1, 0)


def first() -> bool:
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return True


def real_time() -> bool:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return True


# ---------------------------------------------------------------- disks and devices


def disks() -> Iterator[tuple[str, Callable[[], object]]]:
    # Filesystems that are on a disk: "not permitted" comes before "no such disk"
    for kind in ("ext4", "xfs", "iso9660"):
        yield f"mount {kind}", partial(mounts_disk, kind)
    numbers = [("c", 1, 1), ("c", 1, 11), ("c", 10, 200), ("c", 10, 229), ("c", 4, 0)]
    with open("/proc/partitions") as file:
        rows = [line.split() for line in file if line[:1] == " "]
    numbers += [("b", int(row[0]), int(row[1])) for row in rows]
    for kind, major, minor in numbers:
        yield f"device {kind} {major}:{minor}", partial(device, kind, major, minor)
    for directory in ("/usr", "/etc", "/tmp/repository", "/tmp"):
        yield f"{directory} by a handle", partial(by_handle, directory)


def mounts_disk(kind: str) -> bool:
    return mount("/none", "/mnt", kind, RDONLY) not in (*REFUSED, errno.ENODEV)


def device(kind: str, major: int, minor: int) -> bool:
    path = f"/tmp/device-{major}-{minor}"
    os.mknod(
        path, (stat.S_IFBLK if kind == "b" else stat.S_IFCHR) | 0o600, os.makedev(major, minor)
    )
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError as error:
        return error.errno not in REFUSED
    return True


def by_handle(directory: str) -> bool:
    """The root of the disk that ``directory`` is on: on most, it is inode 2."""
    place = os.open(directory, os.O_RDONLY)
    handle = ctypes.create_string_buffer(struct.pack("IiII", 8, 1, 2, 0))
    return call("open_by_handle_at", place, handle, os.O_RDONLY) not in (*REFUSED, errno.ESTALE)


# ---------------------------------------------------------------- other files and processes


def host(told: dict[str, str]) -> Iterator[tuple[str, Callable[[], object]]]:
    secret, mark = told["secret"], told["mark"]
    yield "a file of the machine", lambda: opens(secret, os.O_RDONLY)
    yield "a file of the machine, through a process", lambda: [
        pid for pid in os.listdir("/proc") if pid.isdigit()
        and opens(f"/proc/{pid}/root{secret}", os.O_RDONLY)
    ]  # fmt: skip
    yield "a file of the machine, out of a chroot", lambda: climbed(secret)
    yield "a process of the machine", lambda: seen(mark)
    yield "a process of the machine, below /proc", lambda: uncovered("/proc") and seen(mark)
    yield "a socket by its path", lambda: connects(told["path"])
    yield "a socket by its name", lambda: connects("\0" + told["abstract"])
    yield "a port of the machine", lambda: connects(("127.0.0.1", int(told["port"])))
    for place in ("/usr", "/etc", "/run", "/tmp/repository", "/dev", "/"):
        yield f"what lies below {place}", partial(uncovered, place)
    files = ["/etc/passwd", "/usr/bin/mount", "/tmp/repository/course.toml", told["everybodys"]]
    for path in files:
        yield f"write {path}", partial(made_writable, path)
    for name in ("net", "ipc", "uts", "mnt", "user", "cgroup", "pid"):
        yield f"the {name} namespace that is around", partial(around, name)


def climbed(secret: str) -> bool:
    os.makedirs("/tmp/hole", exist_ok=True)
    above = os.open("/", os.O_RDONLY)
    os.chroot("/tmp/hole")
    os.fchdir(above)
    for _ in range(50):
        os.chdir("..")
    os.chroot(".")
    return opens(secret, os.O_RDONLY)


def seen(mark: str) -> bool:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                if f"sleep\0{mark}" in file.read():
                    return True
        except OSError:
            continue
    return False


def connects(address: str | tuple[str, int]) -> bool:
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family) as one:
        one.settimeout(2)
        one.connect(address)
    return True


def uncovered(place: str) -> bool:
    libc.unshare(0x00020000)
    return bool(libc.umount2(place.encode(), DETACH) == 0)


def made_writable(path: str) -> bool:
    libc.unshare(0x00020000)
    points = {path, os.path.dirname(path), "/" + path.split("/")[1], "/", "/tmp/repository"}
    for point in sorted(points) if not opens(path) else ():
        mount("none", point, "", REMOUNT | BIND)
    return opens(path)


def around(name: str) -> bool:
    """Below our /proc lies that of the process which has made the namespaces."""
    uncovered("/proc")
    own = os.stat("/proc/self/ns/" + name).st_ino
    for pid in filter(str.isdigit, os.listdir("/proc")):
        path = f"/proc/{pid}/ns/{name}"
        if os.stat(path).st_ino != own and libc.setns(os.open(path, os.O_RDONLY), 0) == 0:
            return True
    return False


# ---------------------------------------------------------------- control groups, limits


def groups() -> Iterator[tuple[str, Callable[[], object]]]:
    top = "/sys/fs/cgroup"
    limits = "memory.limit_in_bytes memory.max pids.max cpu.cfs_quota_us cpu.max devices.allow "
    limits += "cpuset.cpus release_agent notify_on_release cgroup.max.descendants"
    # v1's hierarchies, and not the groups that they have made themselves in v2's
    tops = [top, *(f"{top}/{one}" for one in os.listdir(top) if os.path.ismount(f"{top}/{one}"))]
    for name in limits.split():
        paths = [f"{one}/{name}" for one in tops]
        yield f"its own {name}", partial(opened, paths)
    yield "the top of a hierarchy mounted again", tops_again
    yield "a larger file", lambda: raised(resource.RLIMIT_FSIZE)


def opened(paths: list[str]) -> list[str]:
    return [path for path in paths if opens(path)]


def tops_again() -> list[str]:
    found = []
    with open("/proc/cgroups") as file:
        names = [line.split()[0] for line in file if not line.startswith("#")]
    for name in [*names, "none,name=systemd"]:
        place = f"/tmp/hierarchy-{name}"
        os.makedirs(place, exist_ok=True)
        mount("cgroup", place, "cgroup", 0, name)
        # Of a controller's hierarchy our own group is shown, and its processes are ours.
        if opens(f"{place}/release_agent") or ("name" in name and opens(f"{place}/cgroup.procs")):
            found.append(name)
    return found


def raised(limit: int) -> bool:
    soft, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY:
        return True
    resource.setrlimit(limit, (soft, hard + 1))
    return True


# ---------------------------------------------------------------- all of it


def attempt(action: Callable[[], object]) -> bool:
    """True if it worked; in a process of its own, which it may leave in whatever state."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if found := action():
                os.write(tell, (str(found) if isinstance(found, list) else "yes").encode()[:200])
        except (OSError, ValueError):
            pass
        finally:
            os._exit(0)
    os.close(tell)
    os.waitpid(child, 0)
    os.set_blocking(told, False)
    try:
        answer = os.read(told, 200)
    except BlockingIOError:
        answer = b""
    os.close(told)
    if answer not in (b"", b"yes"):
        details.append(answer.decode())
    return bool(answer)


details: list[str] = []


def worked(told: dict[str, str]) -> list[str]:
    """The names of all that worked."""
    kinds = (switches(), calls(), disks(), host(told), groups())
    return [name for kind in kinds for name, action in kind if attempt(action)] + details


def tried() -> int:
    """How many there are."""
    told = dict.fromkeys(("secret", "mark", "path", "abstract", "everybodys"), "") | {"port": "1"}
    return sum(len(list(kind)) for kind in (switches(), calls(), disks(), host(told), groups()))
