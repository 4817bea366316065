"""The machine's cgroup hierarchies, as they are mounted (cgroups(7)).

A *hierarchy* is a tree of groups; a *controller* (or subsystem) such as ``memory`` sits in one
hierarchy and gives each of its groups files to set. There are two worlds:

* **v1**: any number of hierarchies, each mounted with the controllers that it holds;
* **v2**: one hierarchy for all controllers, "unified"; each group hands them on to its children.

Both can be there at once (**hybrid**): then each controller is in one of the two.

Everything here reads text that the kernel writes and changes nothing. ``root`` is where the
machine's ``/`` is: a test puts the files of another machine there.
"""

import os

from mydocker.kernel.errors import Failure, NotFound
from mydocker.kernel.records import record

V1 = 1
V2 = 2


@record
class Hierarchy:
    """One tree of groups: where it is mounted, and the controllers in it.

    ``root`` is the group that the mount point shows: ``/``, but inside a container often the
    container's own group, with nothing above it to be seen.
    """

    version: int
    mountpoint: str
    root: str
    controllers: tuple[str, ...]
    name: str = ""

    @property
    def label(self) -> str:
        """As in ``/proc/PID/cgroup``: ``cpu,cpuacct``, ``name=systemd``; for v2 ``unified``."""
        if self.version == V2:
            return "unified"
        return ",".join((*self.controllers, *([f"name={self.name}"] if self.name else [])))

    def directory(self, group: str) -> str:
        """The directory of ``group``, a path below the mount point."""
        return f"{self.mountpoint}/{group}".rstrip("/")


@record
class Subsystem:
    """One line of ``/proc/cgroups``. ``hierarchy`` is 0 for v2 or not mounted."""

    name: str
    hierarchy: int
    groups: int
    enabled: bool


@record
class Machine:
    """All hierarchies that can be used, and all subsystems that the kernel knows."""

    hierarchies: tuple[Hierarchy, ...]
    subsystems: tuple[Subsystem, ...]

    @property
    def world(self) -> str:
        """``v1``, ``v2``, ``hybrid``, or ``none`` if no hierarchy is mounted."""
        versions = {hierarchy.version for hierarchy in self.hierarchies}
        return {(V1,): "v1", (V2,): "v2", (V1, V2): "hybrid"}.get(tuple(sorted(versions)), "none")

    @property
    def unified(self) -> Hierarchy | None:
        """The hierarchy of v2, if it is mounted."""
        return next((h for h in self.hierarchies if h.version == V2), None)

    @property
    def usable(self) -> tuple[Hierarchy, ...]:
        """The hierarchies that a container joins: all but those of v1 with only a name.

        A named hierarchy such as systemd's holds no controller: nothing can be limited there, and
        it belongs to whoever named it.
        """
        return tuple(h for h in self.hierarchies if h.version == V2 or h.controllers)

    def holding(self, controller: str) -> Hierarchy | None:
        """The hierarchy that has ``controller``: no controller is ever in two."""
        return next((h for h in self.hierarchies if controller in h.controllers), None)

    def subsystem(self, name: str) -> Subsystem | None:
        """What ``/proc/cgroups`` says of ``name``."""
        return next((s for s in self.subsystems if s.name == name), None)


def read(root: str = "") -> Machine:
    """Look at the machine whose files are below ``root``. Raises Failure without ``/proc``."""
    subsystems = subsystems_of(_text(f"{root}/proc/cgroups"))
    mounts = _text(f"{root}/proc/self/mountinfo")
    if not mounts:
        raise Failure("no /proc/self/mountinfo", "Mount it: mount -t proc proc /proc")
    found: dict[tuple[int, frozenset[str], str], Hierarchy] = {}
    for hierarchy in hierarchies_of(mounts, frozenset(s.name for s in subsystems)):
        key = (hierarchy.version, frozenset(hierarchy.controllers), hierarchy.name)
        # The same hierarchy may be mounted again elsewhere, and a mount may be hidden below a
        # younger one: the widest view that can really be seen is the one to use.
        better = key not in found or len(hierarchy.root) < len(found[key].root)
        if better and os.access(f"{root}{hierarchy.mountpoint}/cgroup.procs", os.F_OK):
            found[key] = hierarchy
    return Machine(tuple(_completed(h, root) for h in found.values()), subsystems)


def _completed(hierarchy: Hierarchy, root: str) -> Hierarchy:
    """With v2's controllers, which are not mount options but stand in a file; and with ``root``."""
    place = root + hierarchy.mountpoint
    controllers = hierarchy.controllers
    if hierarchy.version == V2:
        # cgroup.controllers: "cpuset cpu io memory hugetlb pids rdma misc"
        controllers = tuple(_text(f"{place}/cgroup.controllers").split())
    return Hierarchy(hierarchy.version, place, hierarchy.root, controllers, hierarchy.name)


def hierarchies_of(mountinfo: str, known: frozenset[str]) -> list[Hierarchy]:
    """The cgroup mounts among the lines of ``/proc/PID/mountinfo`` (proc_pid_mountinfo(5)).

    ``known`` are the names of the kernel's controllers: in the options of a mount of v1 they stand
    among others, as ``rw`` and ``xattr``.
    """
    # 33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
    # 41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
    # lab 2.1: find the hierarchies
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind = after.split(" ", 1)[0]
        if kind not in ("cgroup", "cgroup2"):
            continue
        fields, options = before.split(" "), after.split(" ")[-1].split(",")
        version = V2 if kind == "cgroup2" else V1
        controllers = tuple(o for o in options if o in known) if version == V1 else ()
        name = next((o[5:] for o in options if o.startswith("name=")), "")
        found.append(Hierarchy(version, plain(fields[4]), plain(fields[3]), controllers, name))
    return found
    # end lab


def plain(path: str) -> str:
    r"""A path of mountinfo, where space, tab, newline and backslash are ``\040`` and so on."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path


def subsystems_of(cgroups: str) -> tuple[Subsystem, ...]:
    """The lines of ``/proc/cgroups``; on a new kernel without v1, some controllers are missing."""
    # #subsys_name    hierarchy   num_cgroups enabled
    # memory          4           14          1
    rows = (line.split() for line in cgroups.splitlines() if line and not line.startswith("#"))
    return tuple(Subsystem(n, int(h), int(g), e == "1") for n, h, g, e in rows)


def membership_of(text: str) -> dict[str, str]:
    """The lines of ``/proc/PID/cgroup``: label of the hierarchy → group, v2's label ``unified``."""
    # 4:memory:/mydocker/9f1c
    # 3:cpu,cpuacct:/
    # 0::/user.slice
    # lab 2.2: in which groups a process is
    groups = {}
    for line in text.splitlines():
        _, controllers, group = line.split(":", 2)
        groups[controllers or "unified"] = group
    return groups
    # end lab


def groups_of(pid: int | str = "self", root: str = "") -> dict[str, str]:
    """In which group of each hierarchy the process ``pid`` is. Raises Failure if it is gone."""
    text = _text(f"{root}/proc/{pid}/cgroup")
    if not text:
        raise NotFound(f"no process {pid}", "ps -e lists the processes that there are")
    return membership_of(text)


def _text(path: str) -> str:
    """The text of a file, empty if it is not there: what a machine lacks is no error here."""
    try:
        with open(path, "rb", buffering=0) as file:
            return os.fsdecode(file.readall())
    except OSError:
        return ""
