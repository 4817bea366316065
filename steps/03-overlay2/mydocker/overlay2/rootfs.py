"""What a container finds in its root directory besides its image, and how that becomes ``/``.

First as data: the filesystems of the kernel and the devices that every program expects, and what
is kept from it: places where root could change the whole machine are read-only or hidden (the
lists are Docker's). Then the acts, in the order of their call.

Every target is looked up by openat2(2) with RESOLVE_IN_ROOT, and mounted on by descriptor: the
image decides what ``/proc`` or ``/data`` is, and if it says "a link to ../../../etc", then a path
would lead to the host's ``/etc``.

Man pages: mount(2), pivot_root(2), mount_namespaces(7), openat2(2), mount_setattr(2), null(4),
pts(4).
"""

import errno
import os
import stat
from collections.abc import Sequence

from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Failure, KernelError, hints
from mydocker.kernel.records import record, replace
from mydocker.overlay2.held import Held
from mydocker.overlay2.volumes import BIND, Volume

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

# Where a path has ".." in it and anything on the machine is renamed or mounted meanwhile, openat2
# cannot tell whether it stayed inside, and says EAGAIN: look again.
_ATTEMPTS = 1000

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

    def find(self, path: str) -> int:
        """A descriptor (O_PATH) for ``path`` inside the root; -1 if it is not there."""
        for attempt in range(_ATTEMPTS):
            try:
                return syscalls.openat2(self.fd, path, os.O_PATH, syscalls.RESOLVE_IN_ROOT)
            except KernelError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR):
                    return -1
                if error.errno == errno.ELOOP:
                    hint = "The image's links go round in a circle"
                    raise Failure(f"{path} in the container: {error.strerror}", hint) from None
                if error.errno != errno.EAGAIN or attempt + 1 == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def provide(self, path: str, directory: bool = True) -> int:
        """As ``find``, but makes what is missing: directories, and for a file an empty one."""
        fd = self.find(path)
        if fd >= 0:
            return self._checked(fd, path, directory)
        parent, _, name = path.rpartition("/")
        above = self.provide(parent or "/")
        try:
            self._make(above, name, directory)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            hint = "The image has a link there that leads to nothing: mount on what it points to"
            raise Failure(f"{path} in the container: cannot be made", hint) from None
        finally:
            os.close(above)
        fd = self.find(path)
        if fd < 0:
            raise Failure(f"{path} in the container: vanished while it was made")
        return fd

    def _make(self, above: int, name: str, directory: bool) -> None:
        # By the descriptor of the directory above and one name: nothing is left to be followed.
        path, shown = f"/proc/self/fd/{above}/{name}", f"{_path(above).rstrip('/')}/{name}"
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
            raise Failure(f"{path} in the container: is {is_}, and a {wanted} is mounted on it")
        return fd

    def mount(
        self, fd: int, source: str, kind: str | None, flags: int, data: str = "", *, why: str
    ) -> None:
        """Mount on the descriptor ``fd`` of a target, and close it."""
        try:
            target = f"/proc/self/fd/{fd}"
            syscalls.mount(source, target, kind, flags, data or None, why=why, shown=_path(fd))
        finally:
            os.close(fd)

    def bind(
        self, fd: int, source: int, path: str, flags: int = syscalls.MS_BIND, *, why: str
    ) -> None:
        """Bind what the descriptor ``source`` is of, called ``path``, on the target; close that."""
        try:
            _bind(fd, source, path, flags, why)
        finally:
            os.close(fd)

    def forbid_writing(self, path: str, why: str) -> None:
        """Make the mount at ``path``, and those below it, read-only."""
        fd = self.find(path)  # again: a descriptor from before the mount is what lies under it
        try:
            target = f"/proc/self/fd/{fd}"
            attribute, recursive = syscalls.MOUNT_ATTR_RDONLY, syscalls.AT_RECURSIVE
            syscalls.mount_setattr(target, recursive, attribute, why=why, shown=_path(fd))
        finally:
            os.close(fd)


def _bind(fd: int, source: int, path: str, flags: int, why: str) -> None:
    target = f"/proc/self/fd/{fd}"
    told = {"why": why, "shown": _path(fd), "shown_source": path}
    syscalls.mount(f"/proc/self/fd/{source}", target, None, flags, **told)


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
        _bind(own, own, directory, _TREE, "pivot_root(2) wants a mount point")
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
    fd = root.provide(plan.target)
    try:
        root.mount(fd, plan.source, plan.type, plan.flags, plan.data, why=plan.why)
    except KernelError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EBUSY) or not plan.host:
            raise
        bind = syscalls.MS_BIND | syscalls.MS_REC
        why = f"a user namespace gets no {plan.type} of its own here: the host's"
        root.mount(root.provide(plan.target), plan.host, None, bind, why=why)
        if plan.flags & syscalls.MS_RDONLY:
            root.forbid_writing(plan.target, "and that only to look at")


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
        _bind_device(root, f"/dev/{name}", f"/dev/{name}")


def _bind_device(root: Root, source: str, target: str) -> None:
    why = "devices cannot be made in a user namespace: the host's is bound"
    root.mount(root.provide(target, directory=False), source, None, syscalls.MS_BIND, why=why)


def _add_device(root: Root, device: Device) -> None:
    """A device that was asked for. As in Docker, what is there under its name already stays."""
    if (there := root.find(device.target)) >= 0:
        os.close(there)
        return
    directory, _, name = device.target.rpartition("/")
    fd = root.provide(directory or "/")
    path, shown = f"/proc/self/fd/{fd}/{name}", f"{_path(fd).rstrip('/')}/{name}"
    try:
        why = "a device that was asked for"
        files.mknod(path, device.mode, device.number, why=why, shown=shown)
        if device.uid or device.gid:
            files.chown(path, device.uid, device.gid, why="its owner as on the host")
    except KernelError as error:
        if error.errno != errno.EPERM:
            raise
        _bind_device(root, device.source, device.target)
    finally:
        os.close(fd)


def _mount_volume(root: Root, volume: Volume, held: Held) -> None:
    if volume.kind == BIND:
        target = root.provide(volume.target, held.is_directory(volume.source))
        source, why = held.descriptor(volume.source), "a volume: the host's own directory"
        root.bind(target, source, volume.source, _TREE, why=why)
        if volume.read_only:
            root.forbid_writing(volume.target, "the volume is for reading only")
    else:
        target = root.provide(volume.target)
        why = "a tmpfs: in memory, gone with the container"
        with hints({errno.EINVAL: "One of its values is not possible. Write size=64m, mode=700"}):
            root.mount(target, "tmpfs", "tmpfs", volume.flags, volume.data, why=why)


def _make_read_only(root: Root, path: str) -> None:
    fd = root.find(path)
    if fd < 0:
        return  # this kernel does not have it
    root.bind(fd, fd, _path(fd), _TREE, why="a mount of its own, to be made read-only")
    root.forbid_writing(path, "it sets the whole kernel, not just this container")


def _mask(root: Root, path: str) -> None:
    fd = root.find(path)
    if fd < 0:
        return
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        root.mount(fd, "tmpfs", "tmpfs", syscalls.MS_RDONLY, why="hidden: it tells of the machine")
    else:
        why = "hidden: it tells of the machine"
        root.mount(fd, "/dev/null", None, syscalls.MS_BIND, why=why)


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
