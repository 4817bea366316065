"""One group, in every hierarchy of the machine: made, limited, joined and removed.

In v1 a group ``mydocker/9f1c`` is a directory in each hierarchy (``/sys/fs/cgroup/memory/mydocker/
9f1c``, ``/sys/fs/cgroup/pids/…``), in v2 it is one directory. Here it is one :class:`Cgroup`.

What goes wrong by hand, and is taken care of here:

* v2: a group hands its controllers on only if ``cgroup.subtree_control`` says so, in each group
  from the root down; and a group that does may hold no processes of its own (the "no internal
  processes" rule of cgroup-v2.rst).
* v1: a new cpuset has no CPUs and no memory, and nothing can join it until it has.
* A group of which any process is left, even a dying one, cannot be removed: EBUSY.
* The group above is made for the first and removed with the last; both may happen at once.
"""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator

from mydocker.cgroups import controllers
from mydocker.cgroups.hierarchy import V1, V2, Hierarchy, Machine
from mydocker.cgroups.settings import AS_ABOVE, Setting
from mydocker.kernel import files
from mydocker.kernel.errors import Failure, KernelError, hints
from mydocker.kernel.records import record

# What v2 has to switch on even without a limit: the statistics.
_COUNTED = ("cpu", "io", "memory", "pids")

_WAIT = 2.0  # seconds that a dying process may take to leave its group
_STEP = 0.002
_ATTEMPTS = 50

_MKDIR = {
    errno.EACCES: "Only root may make groups here: use sudo",
    errno.EPERM: "Only root may make groups here: use sudo",
    errno.EROFS: "The cgroup filesystem is mounted read-only, as in most containers: "
    "run mydocker on the machine itself",
    errno.EAGAIN: "cgroup.max.descendants or cgroup.max.depth of a group above is reached",
    errno.ENOSPC: "The kernel has no more groups to give: remove some that are not used",
}
_SUBTREE = {
    errno.EBUSY: "A group with processes in it cannot hand controllers on (v2's no-internal-"
    "processes rule): choose a group without, with --cgroup-parent",
    errno.EINVAL: "The cpu controller of v2 refuses while real-time processes sit in groups: "
    "ps -eo pid,cls,cmd | grep -e RR -e FF finds them",
    errno.ENOENT: "The group above has not been given this controller",
    errno.EACCES: "Only root, or the user the group was delegated to, may hand controllers on",
}
_ATTACH = {
    errno.ESRCH: "There is no such process (any more)",
    errno.ENOSPC: "Its cpuset has no CPUs or no memory nodes",
    errno.EBUSY: "The group hands controllers on to its children: then it may hold no process (v2)",
    errno.EINVAL: "A kernel thread, or a real-time process, cannot be moved there",
    errno.EACCES: "Moving a process needs write permission in both groups and above them",
}
_REMOVE = {
    errno.EBUSY: "Processes are still in it: kill them, then remove it",
    errno.ENOTEMPTY: "There are groups in it",
}


@record
class Cgroup:
    """The group ``path`` (``mydocker/9f1c``, from each mount point) in all usable hierarchies."""

    path: str
    machine: Machine

    # ------------------------------------------------------------ where it is

    @property
    def directories(self) -> tuple[str, ...]:
        """Its directory in each hierarchy, whether it is there or not."""
        return tuple(h.directory(self.path) for h in self.machine.usable)

    def above(self) -> "Cgroup":
        """The group that it is in."""
        return Cgroup(os.path.dirname(self.path), self.machine)

    @property
    def exists(self) -> bool:
        """Is it there, in at least one hierarchy?"""
        return any(os.path.isdir(directory) for directory in self.directories)

    def hierarchy_of(self, controller: str) -> Hierarchy | None:
        """Where ``controller``, as v1 or v2 calls it, is; for ``cgroup`` the unified one."""
        if controller == "cgroup":
            return self.machine.unified
        known = controllers.BY_NAME.get(controller) or controllers.BY_V2_NAME.get(controller)
        names = (controller, known.name, known.v2) if known else (controller,)
        found = (self.machine.holding(name) for name in names if name)
        return next((hierarchy for hierarchy in found if hierarchy), None)

    def file(self, name: str) -> str:
        """The path of a file such as ``memory.max``. Raises Failure if no hierarchy has it."""
        controller = name.partition(".")[0]
        hierarchy = self.hierarchy_of(controller)
        if hierarchy is None and controller in ("tasks", "notify_on_release"):
            hierarchy = next(iter(self.machine.usable), None)
        candidates = [hierarchy] if hierarchy else []
        # The pressure files and cpu.stat of v2 need no controller: every group has them.
        if self.machine.unified and self.machine.unified not in candidates:
            candidates.append(self.machine.unified)
        paths = [f"{h.directory(self.path)}/{name}" for h in candidates]
        if not paths:
            raise controllers.missing(self.machine, controllers.named(controller), name)
        return next((path for path in paths if os.path.exists(path)), paths[0])

    def read(self, name: str) -> str:
        """The text of a file. Raises KernelError if it is not there."""
        return files.read(self.file(name))

    def read_or(self, name: str, otherwise: str = "") -> str:
        """The text of a file, or ``otherwise`` on a machine or in a group that lacks it."""
        try:
            return self.read(name)
        except Failure:
            return otherwise

    # ------------------------------------------------------------ make and limit

    def create(self, needed: frozenset[str] = frozenset()) -> None:
        """Make it, and the groups above it, in every hierarchy.

        ``needed`` are the controllers that it must have. Raises KernelError, with the group half
        made; :meth:`remove` removes what there is.
        """
        for hierarchy in self.machine.usable:
            with hints(_MKDIR):
                self._create_in(hierarchy, needed)

    def _create_in(self, hierarchy: Hierarchy, needed: frozenset[str]) -> None:
        # The group above may be removed at any time, with the last group in it, by whoever ends
        # just now; as soon as we are in it, it stays.
        for attempt in range(_ATTEMPTS):
            try:
                self._descend(hierarchy, needed)
                return
            except KernelError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV) or attempt == _ATTEMPTS - 1:
                    raise

    def _descend(self, hierarchy: Hierarchy, needed: frozenset[str]) -> None:
        """Make it in one hierarchy, from the mount point down; what is there already stays."""
        # lab 2.5: from the root down
        above = hierarchy.mountpoint
        for name in self.path.split("/"):
            if hierarchy.version == V2:
                self._hand_on(hierarchy, above, needed)
            directory = f"{above}/{name}"
            if not os.path.isdir(directory):
                _make(directory, hierarchy)
            if "cpuset" in hierarchy.controllers and hierarchy.version == V1:
                _fill_cpuset(above, directory)
            above = directory
        # end lab

    def _hand_on(self, hierarchy: Hierarchy, above: str, needed: frozenset[str]) -> None:
        """v2: let ``above`` give its children the controllers that we need or count with."""
        wanted = needed | frozenset(_COUNTED)
        absent = wanted & frozenset(hierarchy.controllers) - frozenset(
            _words(above, "subtree_control")
        )
        if not absent:
            return
        text = " ".join(f"+{name}" for name in sorted(absent))
        try:
            with hints(_SUBTREE):
                why = "a group of v2 hands its controllers on only when told to"
                files.write(f"{above}/cgroup.subtree_control", text, why=why)
        except KernelError:
            # Where nothing is limited, counting less is better than not running at all.
            if needed & absent or not os.path.isdir(above):
                raise

    def apply(self, settings: list[Setting]) -> None:
        """Write the limits. Raises Failure for one whose file the machine does not have."""
        for setting in self._ordered(settings):
            choices = ((setting.file, setting.value), *setting.instead)
            paths = [(self.file(name), value) for name, value in choices]
            found = next((p for p in paths if os.path.exists(p[0]) and self._counts(p[0])), None)
            if found is not None:
                path, value = found
                if value == AS_ABOVE:
                    value = self._list_above(setting.controller, setting.file)
                with hints(_refusals(setting)):
                    files.write(path, value, why=setting.why)
            elif setting.option:
                raise _without_file(self, setting)

    def _counts(self, path: str) -> bool:
        """``io.weight`` is in every group, and counts only with io.cost (cgroup-v2.rst)."""
        unified = self.machine.unified
        if os.path.basename(path) != "io.weight" or unified is None:
            return True
        try:
            return "enable=1" in files.read(f"{unified.mountpoint}/io.cost.qos")
        except KernelError:  # not the root of the tree, or a kernel without
            return False

    def _list_above(self, controller: str, file: str) -> str:
        """What gives a cpuset the list of the group above: in v2 none of its own does."""
        where = self.hierarchy_of(controller)
        return self.above().read(file).strip() if where and where.version == V1 else "\n"

    def _ordered(self, settings: list[Setting]) -> list[Setting]:
        """v1: memory may never exceed memory and swap together, not even between two writes."""
        by_file = {setting.file: setting for setting in settings}
        limit = by_file.get("memory.limit_in_bytes")
        both = by_file.get("memory.memsw.limit_in_bytes")
        now = self.read_or("memory.memsw.limit_in_bytes") if limit and both else ""
        if limit is None or both is None or not now or 0 <= int(limit.value) <= int(now):
            return settings
        return [both, *(setting for setting in settings if setting is not both)]

    # ------------------------------------------------------------ processes

    def attach(self, pid: int, *, version: int | None = None) -> None:
        """Move the process ``pid``, with all its threads, into the group, in every hierarchy.

        Or only in those of one ``version``.
        """
        for hierarchy in self.machine.usable:
            if version not in (None, hierarchy.version):
                continue
            path = f"{hierarchy.directory(self.path)}/cgroup.procs"
            with hints(_ATTACH):
                files.write(path, str(pid), why=f"join the group in hierarchy {hierarchy.label}")

    def join(self) -> None:
        """Move the calling process, which has one thread, into the group in v1's hierarchies.

        For one thread that moves itself the kernel need not stop all forks of the machine, as it
        does for a write to cgroup.procs, where it waits some 10 ms until that is safe.
        """
        for hierarchy in self.machine.usable:
            if hierarchy.version == V1:
                path = f"{hierarchy.directory(self.path)}/tasks"
                with hints(_ATTACH):
                    why = f"join the group in hierarchy {hierarchy.label}; 0: the writer"
                    files.write(path, "0", why=why)

    def processes(self) -> list[int]:
        """The processes in it and in the groups below it, in any hierarchy."""
        return sorted(
            {pid for hierarchy in self.machine.usable for pid in self.processes_in(hierarchy)}
        )

    def processes_in(self, hierarchy: Hierarchy) -> list[int]:
        """The processes in it and below it, in one hierarchy."""
        pids: set[int] = set()
        for directory in groups_below(hierarchy.directory(self.path)):
            try:
                pids.update(map(int, files.read(f"{directory}/cgroup.procs").split()))
            except KernelError as error:
                # A group that was removed just now, or a threaded one of v2, whose processes are
                # listed by the group above it.
                if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
                    raise
        return sorted(pids - {0})  # 0: a process that our PID namespace cannot name

    # ------------------------------------------------------------ remove

    def remove(self, disposable: Iterable[str] = ()) -> None:
        """Remove it, the groups in it, and of the directories ``disposable`` the empty ones.

        Waits a little for processes that are dying. May be called twice. Raises KernelError if
        processes live in it.
        """
        deadline = time.monotonic() + _WAIT
        for directory in self.directories:
            for each in groups_below(directory):
                with hints(_REMOVE):
                    _remove(each, deadline)
        for directory in sorted(disposable, key=len, reverse=True):  # the deepest first
            _tidy(directory)


def _tidy(directory: str) -> None:
    try:
        # Each directory has two links, its name and its own "."; each one in it adds a "..".
        # Asking first spares a line in the narration that would look like an error.
        if os.stat(directory).st_nlink > 2:
            return
        files.rmdir(directory, why="the last group in it is gone")
    except FileNotFoundError:
        return
    except KernelError as error:
        # Somebody else is in it by now, or has removed it before us.
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.ENOENT):
            raise


def _make(directory: str, hierarchy: Hierarchy) -> None:
    try:
        files.mkdir(directory, why=f"a group in hierarchy {hierarchy.label}")
    except KernelError as error:
        if error.errno != errno.EEXIST:  # another container made it just now
            raise


def _fill_cpuset(above: str, directory: str) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not files.read(f"{directory}/{name}").strip():
            why = "a new cpuset of v1 is empty, and nothing can join it: as the group above"
            files.write(f"{directory}/{name}", files.read(f"{above}/{name}").strip(), why=why)


def _words(directory: str, name: str) -> list[str]:
    return files.read(f"{directory}/cgroup.{name}").split()


def _remove(directory: str, deadline: float) -> None:
    def attempt() -> None:
        files.rmdir(directory, why="the group is not needed any more")

    try:
        _patiently(attempt, deadline)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise


def _patiently(attempt: Callable[[], None], deadline: float) -> None:
    """Try until it is not busy any more: a process that was killed needs a moment to be gone."""
    while True:
        try:
            return attempt()
        except KernelError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(_STEP)


def groups_below(directory: str) -> Iterator[str]:
    """``directory`` and the groups in it, deepest first; nothing if it is not there."""
    names = names_below(directory)
    if names is None:
        return
    for name in names:
        yield from groups_below(f"{directory}/{name}")
    yield directory


def names_below(directory: str) -> list[str] | None:
    """The names of the groups in one, sorted; None if it is not there, or is removed just now."""
    try:
        with os.scandir(directory) as entries:
            return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENODEV):
            return None
        raise


def _refusals(setting: Setting) -> dict[int, str]:
    what = setting.option or setting.file
    return {
        errno.EINVAL: f"The kernel does not take this value for {what}: "
        "is it more than the group above allows?",
        errno.ENODEV: f"{what}: there is no such disk, or it is a partition and not a whole disk",
        errno.EBUSY: f"{what}: more than that is in use already",
        errno.ERANGE: f"{what}: out of the range that the kernel takes",
        errno.EACCES: f"{what}: the group above does not allow it, or you are not root",
        errno.EOPNOTSUPP: f"{what}: this kernel was built without it",
    }


_NO_FILE = {
    "--memory-swap": "The kernel does not count swap: boot it with swapaccount=1",
    "--blkio-weight": "Weights need the BFQ scheduler: modprobe bfq; "
    "echo bfq > /sys/block/DISK/queue/scheduler",
    "--cpus": "The kernel must be built with CONFIG_CFS_BANDWIDTH",
    "--oom-kill-disable": "This kernel's memory controller has no such switch",
}


def _without_file(group: Cgroup, setting: Setting) -> Failure:
    controller = controllers.named(setting.controller)
    names = " or ".join(name for name, _ in ((setting.file, ""), *setting.instead))
    hint = _NO_FILE.get(setting.option, f"The kernel must be built with {controller.config}")
    return Failure(f"{setting.option}: group {group.path} has no file {names}", hint)
