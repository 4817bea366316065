"""What there is in a container's root besides its image: a plan, as data (see ``rootfs``).

A :class:`Mount` has the fields, and its options the words, of ``mounts`` in the config.json of an
OCI bundle; :func:`default_plan` makes Docker's plan from what was asked of a container. Whoever
wants another root makes another plan: the acts know nothing of where it came from.

Man pages: mount(8), null(4), pts(4).
"""

from collections.abc import Sequence

from mydocker.kernel.records import record, replace
from mydocker.overlay2.mount_options import Options, options_of, words_of
from mydocker.overlay2.volumes import BIND, Volume


@record
class Mount:
    """One thing to mount at ``destination``, with the fields of an OCI bundle's ``mounts``.

    Not among those: ``why``, one line for the reader of ``--explain``; and ``host``, the host's own
    directory of the kind, bound where the kernel refuses a new one: a user namespace may mount only
    what belongs to its own other namespaces.
    """

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    why: str = ""
    host: str = ""

    @property
    def asked(self) -> Options:
        """What its options mean."""
        return options_of(self.options)


@record
class Nodes:
    """Device nodes for everybody, and links, in a ``directory`` that is new and empty."""

    directory: str
    devices: dict[str, tuple[int, int]]
    links: dict[str, str]


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
class Directory:
    """A directory that shall be there, made if it is not."""

    path: str


Entry = Mount | Nodes | Device | Directory


@record
class Plan:
    """``entries`` are made in this order; then ``readonly_paths`` and ``masked_paths`` that are
    there are closed to writing and to all; ``readonly``: and so is the image itself."""

    entries: tuple[Entry, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly: bool = False

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """Its mounts alone."""
        return tuple(entry for entry in self.entries if isinstance(entry, Mount))

    @property
    def sources(self) -> tuple[str, ...]:
        """What of the host is bound."""
        return tuple(mount.source for mount in self.mounts if mount.asked.bind)


# ---------------------------------------------------------------- Docker's plan

TTY_GROUP = 5  # whose terminals are
_SAFE = ("nosuid", "nodev", "noexec")
PROC = Mount("/proc", "proc", "proc", _SAFE, "the processes of its PID namespace", "/proc")
DEV = Mount(
    "/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"),
    "a /dev of its own, with no disk in it",
)  # fmt: skip
PTS = Mount(
    "/dev/pts", "devpts", "devpts",
    ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", f"gid={TTY_GROUP}"),
    "terminals of its own, apart from the host's",
)  # fmt: skip
SHM = Mount(
    "/dev/shm", "tmpfs", "shm", (*_SAFE, "mode=1777", "size=65536k"), "memory for shm_open(3)"
)
MQUEUE = Mount(
    "/dev/mqueue", "mqueue", "mqueue", _SAFE, "queues of its IPC namespace", "/dev/mqueue"
)
SYS = Mount(
    "/sys", "sysfs", "sysfs", (*_SAFE, "ro"),
    "the machine's devices, of the network only its own", "/sys",
)  # fmt: skip
CGROUP2 = Mount(
    "/sys/fs/cgroup", "cgroup2", "cgroup", (*_SAFE, "ro"), "its own limits, to read",
    "/sys/fs/cgroup",
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
USUAL_NODES = Nodes("/dev", DEVICES, LINKS)

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


@record
class Contents:
    """What differs from container to container: ``--shm-size``, ``--device``, ``--privileged``.

    ``shm_size`` in bytes, 0 for the default; ``open``: nothing is hidden or read-only.
    """

    shm_size: int = 0
    devices: tuple[Device, ...] = ()
    open: bool = False


USUAL = Contents()


def default_plan(
    volumes: Sequence[Volume] = (),
    readonly: bool = False,
    contents: Contents = USUAL,
    *,
    unified: bool = False,
) -> Plan:
    """Docker's plan for a container with these ``volumes`` and ``contents``.

    ``unified``: the machine has cgroup v2 alone. Of v1's many hierarchies none is shown: to mount
    one here and let it go again would end the hierarchy for the whole machine if it has no groups.
    """
    shm, of_machine = SHM, [SYS, CGROUP2] if unified else [SYS]
    if contents.shm_size:
        shm = replace(SHM, options=(*_SAFE, "mode=1777", f"size={contents.shm_size}"))
    if contents.open:
        of_machine = [replace(mount, options=(*mount.options, "rw")) for mount in of_machine]
    own: list[Entry] = [PROC, DEV, USUAL_NODES, PTS, shm, MQUEUE, *of_machine]
    entries = (*own, *contents.devices, *map(mount_of, volumes))
    if contents.open:
        return Plan(entries, readonly=readonly)
    return Plan(entries, READ_ONLY, MASKED, readonly)


def mount_of(volume: Volume) -> Mount:
    """A volume as it is mounted."""
    if volume.kind == BIND:
        options = ("rbind", "rro") if volume.read_only else ("rbind",)
        why = "a volume: the host's own directory"
        return Mount(volume.target, "bind", volume.source, options, why)
    why = "a tmpfs: in memory, gone with the container"
    return Mount(volume.target, "tmpfs", "tmpfs", words_of(volume.flags, volume.data), why)


def without_group(plan: Plan, gid: int) -> Plan:
    """The same for a user namespace that has no such group: a filesystem with its ``gid=`` cannot
    be mounted in there."""
    word = f"gid={gid}"

    def fitted(entry: Entry) -> Entry:
        if not isinstance(entry, Mount) or word not in entry.options:
            return entry
        return replace(entry, options=tuple(one for one in entry.options if one != word))

    return replace(plan, entries=tuple(map(fitted, plan.entries)))
