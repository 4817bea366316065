"""What a container finds in its root directory besides its image, and how that becomes ``/``.

First as data: the filesystems of the kernel and the devices that every program expects, and what
is kept from it: places where root could change the whole machine are read-only or hidden (the
lists are Docker's). Then the acts, in the order of their call.

Every target is looked up once, by openat2(2) with RESOLVE_IN_ROOT, and mounted on by descriptor:
the image decides what ``/proc`` or ``/data`` is, and if it says "a link to ../../../etc", then a
path would lead to the host's ``/etc``. What is bound is a descriptor too, and made read-only by the
new mount's own (see ``kernel.beneath``).

Man pages: mount(2), pivot_root(2), mount_namespaces(7), openat2(2), open_tree(2), move_mount(2),
mount_setattr(2), null(4), pts(4).
"""

import errno
import os
import stat
from collections.abc import Sequence

from mydocker.kernel import beneath, files, syscalls
from mydocker.kernel.errors import Failure, Invalid, KernelError, hints
from mydocker.kernel.records import record, replace
from mydocker.overlay2.held import Held
from mydocker.overlay2.volumes import BIND, OF_PROC, Volume

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_TREE = syscalls.MS_BIND | syscalls.MS_REC
_SAFE = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


@record
class Filesystem:
    """One filesystem to mount at ``target`` in the container.

    ``host`` is the host's own directory of the kind, bound read-only where the kernel refuses a new
    one: a user namespace may mount only what belongs to its own other namespaces.
    """

    target: str
    type: str
    source: str
    flags: int
    data: str
    why: str
    host: str = ""


PROC = Filesystem("/proc", "proc", "proc", _SAFE, "", "the processes of its PID namespace", "/proc")
DEV = Filesystem(
    "/dev", "tmpfs", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_STRICTATIME, "mode=755,size=65536k",
    "a /dev of its own, with no disk in it",
)  # fmt: skip
PTS = Filesystem(
    "/dev/pts", "devpts", "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC,
    "newinstance,ptmxmode=0666,mode=0620,gid=5", "terminals of its own, apart from the host's",
)  # fmt: skip
SHM = Filesystem(
    "/dev/shm", "tmpfs", "shm", _SAFE, "mode=1777,size=65536k", "memory for shm_open(3)"
)
MQUEUE = Filesystem(
    "/dev/mqueue", "mqueue", "mqueue", _SAFE, "", "queues of its IPC namespace", "/dev/mqueue"
)
SYS = Filesystem(
    "/sys", "sysfs", "sysfs", _SAFE | syscalls.MS_RDONLY, "",
    "the machine's devices, of the network only its own", "/sys",
)  # fmt: skip
CGROUP2 = Filesystem(
    "/sys/fs/cgroup", "cgroup2", "cgroup", _SAFE | syscalls.MS_RDONLY, "",
    "its own limits, to read", "/sys/fs/cgroup",
)  # fmt: skip

# <linux/major.h> and Documentation/admin-guide/devices.txt
DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


@record
class Device:
    """A device of the host, ``source``, at ``target`` in the container.

    ``mode`` is the kind and the permissions, as in ``st_mode``; ``number`` as in ``st_rdev``.
    """

    target: str
    source: str
    mode: int
    number: int
    uid: int = 0
    gid: int = 0


@record
class Contents:
    """What differs from container to container: ``--shm-size``, ``--device``, ``--privileged``.

    ``shm_size`` in bytes, 0 for the default; ``open``: nothing is hidden or read-only.
    """

    shm_size: int = 0
    devices: tuple[Device, ...] = ()
    open: bool = False


USUAL = Contents()
# Files and directories that say or do too much about the machine: hidden.
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
# Switches of the whole kernel: root in the container is root to them, so they are read-only.
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# What tells of the whole machine: nothing is mounted there because a link of the image leads there
_KERNELS = (
    syscalls.PROC_SUPER_MAGIC,
    syscalls.SYSFS_MAGIC,
    syscalls.CGROUP_SUPER_MAGIC,
    syscalls.CGROUP2_SUPER_MAGIC,
)
_NULL = os.makedev(1, 3)

_NOT_ROOTS = {
    errno.EACCES: "The image's files belong to root, and --uid-map or --gid-map makes the "
    "container's root somebody else. Map 0 to 0, or use --userns private"
}
_OLD = {
    errno.ENOSYS: "This kernel is too old: a root directory needs Linux 5.12",
    errno.EPERM: "Mounting needs root: use sudo",
}


def filesystems(
    unified: bool, tty_group: bool, contents: Contents = USUAL
) -> tuple[Filesystem, ...]:
    """The kernel's filesystems of a container, in order.

    ``unified``: the machine has cgroup v2 alone. Of v1's many hierarchies none is shown: to mount
    one here and let it go again would end the hierarchy for the whole machine if it has no groups.
    ``tty_group``: group 5, which owns terminals, exists in this user namespace.
    """
    pts = PTS if tty_group else replace(PTS, data=PTS.data.removesuffix(",gid=5"))
    size = f"mode=1777,size={contents.shm_size}"
    shm = replace(SHM, data=size) if contents.shm_size else SHM
    of_machine: list[Filesystem] = [SYS, CGROUP2] if unified else [SYS]
    if contents.open:
        writable = ~syscalls.MS_RDONLY
        of_machine = [replace(plan, flags=plan.flags & writable) for plan in of_machine]
    return (PROC, DEV, pts, shm, MQUEUE, *of_machine)


class Root:
    """A directory that is becoming a container's root; all targets are resolved inside it."""

    def __init__(self, directory: str, fd: int = -1) -> None:
        """``fd`` is its descriptor, if somebody has it: closed by whoever uses the object."""
        self.directory = directory
        self.fd = fd if fd >= 0 else os.open(directory, _DIRECTORY)

    @property
    def name(self) -> str:
        """What leads to it: its path, or where that is closed to our user, its descriptor."""
        open_to_us = os.path.isdir(self.directory)
        return self.directory if open_to_us else f"/proc/self/fd/{self.fd}"

    def find(self, path: str, *, links: bool = True) -> int:
        """A descriptor (O_PATH) for ``path`` inside the root; -1 if it is not there."""
        try:
            return beneath.find(self.fd, path, os.O_PATH, links=links)
        except KernelError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return -1
            if error.errno == errno.ELOOP:
                hint = "The image's links go round in a circle"
                if not links:
                    hint = "The image has a link there, and must have a directory or nothing"
                raise Invalid(f"{path} in the container: {error.strerror}", hint) from None
            raise

    def provide(self, path: str, directory: bool = True, *, links: bool = True) -> int:
        """As ``find``, but makes what is missing: directories, and for a file an empty one."""
        fd = self.find(path, links=links)
        if fd >= 0:
            return self._checked(fd, path, directory)
        parent, _, name = path.rpartition("/")
        above = self.provide(parent or "/", links=links)
        try:
            if syscalls.fstatfs(above) in _KERNELS:  # to make a directory there may make a cgroup
                raise Invalid(f"{path} in the container: is in {_path(above)}, the kernel's", _AWAY)
            self._make(above, name, directory)
            fd = beneath.made(above, name, stat.S_IFDIR if directory else stat.S_IFREG)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            hint = "The image has a link there that leads to nothing: mount on what it points to"
            raise Invalid(f"{path} in the container: cannot be made", hint) from None
        finally:
            os.close(above)
        return fd

    def place(self, path: str, directory: bool = True) -> int:
        """As ``provide``, for what somebody asked for: not the root itself, and no place that tells
        of the machine, whatever links of the image lead there. Raises Failure.

        What *was found* is judged, not what was written. We read in ``/proc`` ourselves, and what
        is hidden in it must stay so (CVE-2019-16884, CVE-2019-19921).
        """
        fd = self.provide(path, directory)
        if os.path.samestat(os.fstat(fd), os.fstat(self.fd)):
            os.close(fd)
            hint = "The image has a link there. Choose another directory"
            raise Invalid(f"{path} in the container: is the root itself", hint)
        inside = _path(fd).removeprefix(_path(self.fd).rstrip("/"))
        kernels = syscalls.fstatfs(fd) in _KERNELS or f"{inside}/".startswith(("/proc/", "/sys/"))
        asked = inside == path and (path in OF_PROC or f"{path}/".startswith("/sys/"))
        if kernels and not asked:
            os.close(fd)
            raise Invalid(f"{path} in the container: is {inside}, the kernel's", _AWAY)
        return fd

    def _make(self, above: int, name: str, directory: bool) -> None:
        # By the descriptor of the directory above and one name: nothing is left to be followed.
        path, shown = beneath.path(above, name), f"{_path(above).rstrip('/')}/{name}"
        with hints(_NOT_ROOTS):
            if directory:
                files.mkdir(path, 0o755, why="a place to mount on", shown=shown)
            else:
                mode = stat.S_IFREG | 0o644
                files.mknod(path, mode, why="an empty file to mount a file on", shown=shown)

    def _checked(self, fd: int, path: str, directory: bool) -> int:
        if stat.S_ISDIR(os.fstat(fd).st_mode) != directory:
            os.close(fd)
            is_, wanted = ("a file", "directory") if directory else ("a directory", "file")
            raise Invalid(f"{path} in the container: is {is_}, and a {wanted} is mounted on it")
        return fd

    def mount(
        self, fd: int, source: str, kind: str | None, flags: int, data: str = "", *, why: str
    ) -> None:
        """Mount on the descriptor ``fd`` of a target, and close it."""
        try:
            target = beneath.path(fd)
            syscalls.mount(source, target, kind, flags, data or None, why=why, shown=_path(fd))
        finally:
            os.close(fd)

    def bind(self, fd: int, source: int, shown: str, *, why: str, recursive: bool = True) -> None:
        """Show the descriptor ``source``, with all that is mounted below it, on the target ``fd``.

        Closes both. ``shown``: the path of ``source``, for the reader.
        """
        try:
            flags = syscalls.MS_BIND | (syscalls.MS_REC if recursive else 0)
            from_, to = beneath.path(source), beneath.path(fd)
            told = {"shown": _path(fd), "source_shown": shown}
            syscalls.mount(from_, to, None, flags, why=why, **told)
        finally:
            os.close(source)
            os.close(fd)

    def bind_read_only(self, fd: int, source: int, shown: str, *, why: str, forbid: str) -> None:
        """As ``bind``, and nothing can be written there; ``forbid`` says why.

        By the descriptor of the new mount itself: a path to it, or a descriptor from before, which
        is what lies under it, would have to be looked up, and that could find another mount.
        """
        target = _path(fd)
        try:
            flags = syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE
            tree = syscalls.open_tree(source, flags, why=why, shown=shown)
            try:
                to = {"shown": target}
                syscalls.move_mount(tree, fd, why="to where it belongs", source_shown=shown, **to)
                attribute, recursive = syscalls.MOUNT_ATTR_RDONLY, syscalls.AT_RECURSIVE
                syscalls.mount_setattr(tree, recursive, attribute, why=forbid, **to)
            finally:
                os.close(tree)
        finally:
            os.close(source)
            os.close(fd)


_AWAY = "Nothing is mounted there or made there, it tells of the machine: choose another directory"


def _path(fd: int) -> str:
    """Where the descriptor's file is, with no link left in the path: what a student can type."""
    return os.readlink(f"/proc/self/fd/{fd}")


def mount_all(
    directory: str,
    held: Held,
    volumes: Sequence[Volume] = (),
    read_only: bool = False,
    contents: Contents = USUAL,
) -> Root:
    """Mount everything that a container needs below ``directory``, its future root; that root.

    Runs inside the container's mount namespace, whose propagation is private already: otherwise all
    this would appear on the host too. ``held`` has ``directory``, the one above it, and the sources
    of the volumes. Raises Failure or KernelError.
    """
    umask = os.umask(0)  # devices are 666 by their nature
    with hints(_OLD):
        # pivot_root wants a mount point; and a mount that came from the host's namespace is locked
        # in a user namespace, while a bind of it made here is ours.
        own = held.descriptor(directory)
        why, told = "pivot_root(2) wants a mount point", {"shown": directory}
        path = beneath.path(own)
        syscalls.mount(path, path, None, _TREE, why=why, source_shown=directory, **told)
        # By name again, and from above: a descriptor from before is of what lies under the mount.
        above, _, name = directory.rpartition("/")
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=held.descriptor(above))
        root = Root(directory, fd)
        try:
            unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
            for filesystem in filesystems(unified, _is_mapped(5), contents):
                _mount_filesystem(root, filesystem)
                if filesystem is DEV:
                    _fill_dev(root)
            for device in contents.devices:
                _add_device(root, device)
            for volume in volumes:
                _mount_volume(root, volume, held)
            _check_proc(root)
            for path in () if contents.open else READ_ONLY:
                _make_read_only(root, path)
            for path in () if contents.open else MASKED:
                _mask(root, path)
            if read_only:
                attribute = syscalls.MOUNT_ATTR_RDONLY
                why = "--read-only: the image too"
                syscalls.mount_setattr(
                    f"/proc/self/fd/{root.fd}", 0, attribute, why=why, shown=directory
                )
        except BaseException:
            os.close(root.fd)
            raise
        finally:
            os.umask(umask)
    return root


def _is_mapped(gid: int) -> bool:
    """True if the group ``gid`` exists in this user namespace (user_namespaces(7))."""
    for line in files.read("/proc/self/gid_map").splitlines():
        inside, _, length = map(int, line.split())
        if inside <= gid < inside + length:
            return True
    return False


def _mount_filesystem(root: Root, plan: Filesystem) -> None:
    # Behind a link, /proc could come to lie in a volume that others write to (CVE-2023-27561).
    links = not plan.target.startswith(("/proc", "/sys"))
    fd = root.provide(plan.target, links=links)
    try:
        root.mount(fd, plan.source, plan.type, plan.flags, plan.data, why=plan.why)
    except KernelError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EBUSY) or not plan.host:
            raise
        fd, source = root.provide(plan.target, links=links), _of_host(plan.host)
        why = f"a user namespace gets no {plan.type} of its own here: the host's"
        if plan.flags & syscalls.MS_RDONLY:
            forbid = "and that only to look at"
            root.bind_read_only(fd, source, plan.host, why=why, forbid=forbid)
        else:
            root.bind(fd, source, plan.host, why=why)


def _of_host(path: str) -> int:
    """A descriptor for a path of the host, whose tree we still see."""
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError("open", (path,), error.errno or 0) from None


def _check_proc(root: Root) -> None:
    """What is hidden and forbidden below is the kernel's /proc, and not something like it."""
    fd = root.find("/proc", links=False)
    try:
        if fd < 0 or syscalls.fstatfs(fd) != syscalls.PROC_SUPER_MAGIC:
            raise Invalid("/proc in the container: is not the kernel's", "Mount nothing over it")
    finally:
        if fd >= 0:
            os.close(fd)


def _fill_dev(root: Root) -> None:
    """The six devices that do no harm, and the usual links, in the new and empty /dev."""
    fd = root.find("/dev")
    path, shown = f"/proc/self/fd/{fd}", _path(fd)
    try:
        for name, (major, minor) in DEVICES.items():
            _make_device(root, f"{path}/{name}", f"{shown}/{name}", os.makedev(major, minor))
        for name, target in LINKS.items():
            files.symlink(target, f"{path}/{name}", why="a usual name", shown=f"{shown}/{name}")
    finally:
        os.close(fd)


def _make_device(root: Root, path: str, shown: str, device: int) -> None:
    mode = stat.S_IFCHR | 0o666
    try:
        files.mknod(path, mode, device, why="a device that does no harm", shown=shown)
    except KernelError as error:
        if error.errno != errno.EPERM:
            raise
        name = path.rpartition("/")[2]
        _bind_device(root, f"/dev/{name}", root.provide(f"/dev/{name}", directory=False))


def _bind_device(root: Root, source: str, fd: int) -> None:
    why = "devices cannot be made in a user namespace: the host's is bound"
    root.bind(fd, _of_host(source), source, why=why, recursive=False)


def _add_device(root: Root, device: Device) -> None:
    """A device that was asked for. As in Docker, what is there under its name already stays."""
    if (there := root.find(device.target)) >= 0:
        os.close(there)
        return
    directory, _, name = device.target.rpartition("/")
    fd = root.place(directory) if directory else root.provide("/")
    path, shown = beneath.path(fd, name), f"{_path(fd).rstrip('/')}/{name}"
    try:
        why = "a device that was asked for"
        files.mknod(path, device.mode, device.number, why=why, shown=shown)
        if device.uid or device.gid:
            files.chown(path, device.uid, device.gid, why="its owner as on the host")
    except KernelError as error:
        if error.errno != errno.EPERM:
            raise
        _bind_device(root, device.source, root.place(device.target, directory=False))
    finally:
        os.close(fd)


def _mount_volume(root: Root, volume: Volume, held: Held) -> None:
    if volume.kind == BIND:
        source = os.dup(held.descriptor(volume.source))
        try:
            target = root.place(volume.target, stat.S_ISDIR(os.fstat(source).st_mode))
        except BaseException:
            os.close(source)
            raise
        why = "a volume: the host's own directory"
        if volume.read_only:
            forbid = "the volume is for reading only"
            root.bind_read_only(target, source, volume.source, why=why, forbid=forbid)
        else:
            root.bind(target, source, volume.source, why=why)
    else:
        target = root.place(volume.target)
        why = "a tmpfs: in memory, gone with the container"
        with hints({errno.EINVAL: "One of its values is not possible. Write size=64m, mode=700"}):
            root.mount(target, "tmpfs", "tmpfs", volume.flags, volume.data, why=why)


def _make_read_only(root: Root, path: str) -> None:
    fd = root.find(path, links=False)
    if fd < 0:
        return  # this kernel does not have it
    why, forbid = "a mount of its own", "it sets the whole kernel, not just this container"
    root.bind_read_only(fd, os.dup(fd), _path(fd), why=why, forbid=forbid)


def _mask(root: Root, path: str) -> None:
    fd = root.find(path, links=False)
    if fd < 0:
        return
    why = "hidden: it tells of the machine"
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        root.mount(fd, "tmpfs", "tmpfs", syscalls.MS_RDONLY, why=why)
        return
    null = _of_host("/dev/null")
    status = os.fstat(null)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _NULL:
        os.close(null)
        os.close(fd)
        hint = "Make it anew, with mknod -m 666 /dev/null c 1 3"
        raise Failure("/dev/null of this machine is not the null device", hint)
    root.bind(fd, null, "/dev/null", why=why, recursive=False)


def pivot(directory: str) -> None:
    """Make ``directory`` the root of this mount namespace, and let the old root go.

    Not chroot(2), which only moves where "/" is looked up: the host's files would still be mounted,
    and root could climb back to them.
    """
    # lab 3.3: another root, and no way back
    syscalls.chdir(directory, why="the new root")
    # Both names the same: the old root comes to lie on top of the new one, no directory is needed.
    syscalls.pivot_root(".", ".", why="the container's root is / now; the old one lies on it")
    syscalls.umount2(".", syscalls.MNT_DETACH, why="and away with the old: no way back to the host")
    syscalls.chdir("/", why="every command begins in the new root")
    # end lab
