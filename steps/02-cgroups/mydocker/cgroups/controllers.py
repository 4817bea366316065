"""Every subsystem of the kernel: what it does, its files, and whether this machine has it.

The table follows Documentation/admin-guide/cgroup-v1/ and …/cgroup-v2.rst. Some of v1's subsystems
became something else in v2: ``blkio`` is called ``io``, ``cpuacct`` went into ``cpu``, ``freezer``
is a file of every group, ``devices`` an eBPF program, ``net_cls`` and ``net_prio`` a match of the
firewall (``socket cgroupv2`` in nft(8)).
"""

from mydocker.cgroups.hierarchy import V1, Machine
from mydocker.kernel.errors import Failure, NotFound
from mydocker.kernel.records import record


@record
class Controller:
    """One subsystem. ``v2`` is its name in the unified hierarchy, empty if it has none there.

    ``built_in`` says what does its work in v2 without a controller to switch on.
    """

    name: str
    does: str
    v1_files: tuple[str, ...]
    v2_files: tuple[str, ...]
    v2: str = ""
    config: str = ""
    built_in: str = ""


CONTROLLERS = (
    Controller(
        "memory",
        "limits memory and swap, counts them, kills when full",
        ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control"),
        ("memory.max", "memory.swap.max", "memory.events"),
        "memory",
        "CONFIG_MEMCG",
    ),
    Controller(
        "cpu",
        "shares CPU time, and caps it per period",
        ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.stat"),
        ("cpu.weight", "cpu.max", "cpu.stat"),
        "cpu",
        "CONFIG_CGROUP_SCHED and CONFIG_CFS_BANDWIDTH",
    ),
    Controller(
        "cpuacct",
        "counts the CPU time that was used",
        ("cpuacct.usage", "cpuacct.stat"),
        ("cpu.stat",),
        "",
        "CONFIG_CGROUP_CPUACCT",
        "cpu.stat",
    ),
    Controller(
        "cpuset",
        "binds to certain CPUs and memory nodes",
        ("cpuset.cpus", "cpuset.mems"),
        ("cpuset.cpus", "cpuset.mems", "cpuset.cpus.partition"),
        "cpuset",
        "CONFIG_CPUSETS",
    ),
    Controller(
        "pids",
        "limits how many tasks there may be",
        ("pids.max", "pids.current"),
        ("pids.max", "pids.current", "pids.events"),
        "pids",
        "CONFIG_CGROUP_PIDS",
    ),
    Controller(
        "blkio",
        "weighs and throttles the traffic to disks",
        ("blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device", "blkio.bfq.weight"),
        ("io.max", "io.weight", "io.stat"),
        "io",
        "CONFIG_BLK_CGROUP and CONFIG_BLK_DEV_THROTTLING",
    ),
    Controller(
        "devices",
        "says which device nodes may be opened or made",
        ("devices.allow", "devices.deny", "devices.list"),
        (),
        "",
        "CONFIG_CGROUP_DEVICE",
        "an eBPF program",
    ),
    Controller(
        "freezer",
        "stops all tasks, and lets them go on",
        ("freezer.state",),
        ("cgroup.freeze", "cgroup.events"),
        "",
        "CONFIG_CGROUP_FREEZER",
        "cgroup.freeze",
    ),
    Controller(
        "hugetlb",
        "limits huge pages",
        ("hugetlb.2MB.limit_in_bytes",),
        ("hugetlb.2MB.max",),
        "hugetlb",
        "CONFIG_CGROUP_HUGETLB",
    ),
    Controller(
        "net_cls",
        "marks packets with a class for tc(8)",
        ("net_cls.classid",),
        (),
        "",
        "CONFIG_CGROUP_NET_CLASSID",
        "nft: socket cgroupv2",
    ),
    Controller(
        "net_prio",
        "sets the priority of packets per interface",
        ("net_prio.ifpriomap",),
        (),
        "",
        "CONFIG_CGROUP_NET_PRIO",
        "nft: socket cgroupv2",
    ),
    Controller(
        "perf_event",
        "lets perf(1) watch a group",
        (),
        (),
        "",
        "CONFIG_CGROUP_PERF",
        "always on",
    ),
    Controller(
        "rdma",
        "limits InfiniBand handles",
        ("rdma.max",),
        ("rdma.max",),
        "rdma",
        "CONFIG_CGROUP_RDMA",
    ),
    Controller(
        "misc",
        "limits rare things that can only be counted",
        ("misc.max",),
        ("misc.max", "misc.capacity"),
        "misc",
        "CONFIG_CGROUP_MISC",
    ),
)

BY_NAME = {controller.name: controller for controller in CONTROLLERS}
BY_V2_NAME = {controller.v2: controller for controller in CONTROLLERS if controller.v2}


def named(name: str) -> Controller:
    """The controller called ``name`` in v1 or v2. Raises Failure with the names there are."""
    controller = BY_NAME.get(name) or BY_V2_NAME.get(name)
    if controller is None:
        raise NotFound(f"no such controller: {name}", f"There are: {', '.join(BY_NAME)}")
    return controller


def version_here(machine: Machine, controller: Controller) -> int | None:
    """The world, V1 or V2, in which the machine has it as a controller; None: neither."""
    hierarchy = machine.holding(controller.name) or machine.holding(controller.v2 or "-")
    return hierarchy.version if hierarchy else None


def presence(machine: Machine, controller: Controller) -> tuple[bool, str]:
    """Whether the machine can do what ``controller`` does, and where or why not."""
    version = version_here(machine, controller)
    if version is not None:
        return True, "v1" if version == V1 else "v2"
    subsystem = machine.subsystem(controller.name)
    if subsystem is not None and not subsystem.enabled:
        return False, "switched off at boot"
    if machine.unified is not None and controller.built_in:
        # cpuacct's and freezer's work is done by every group of v2; the others' by the kernel's
        # code for v2, which is there if the kernel was built with it.
        if controller.name in ("cpuacct", "freezer", "devices"):
            return True, f"v2: {controller.built_in}"
        if controller.name == "perf_event" and subsystem is not None:
            return True, f"v2: {controller.built_in}"
    return False, "not mounted" if subsystem is not None else "not in this kernel"


def how_to_enable(machine: Machine, controller: Controller) -> str:
    """What the reader can do about a controller that is not there, in one line."""
    here, reason = presence(machine, controller)
    name = controller.name
    if here:
        return f"In cgroup v2 that is no controller: {controller.built_in} does its work there"
    if reason == "switched off at boot":
        return f"On the kernel's command line: cgroup_disable={name} away, or cgroup_enable={name}"
    if reason == "not mounted":
        return (
            f"The kernel has it: mkdir -p /sys/fs/cgroup/{name}; "
            f"mount -t cgroup -o {name} cgroup /sys/fs/cgroup/{name}"
        )
    return f"The kernel must be built with {controller.config}"


def missing(machine: Machine, controller: Controller, option: str) -> Failure:
    """The error for an ``option`` whose controller the machine does not have."""
    names = " or ".join(dict.fromkeys(n for n in (controller.name, controller.v2) if n))
    return Failure(
        f"{option}: this machine has no {names} controller", how_to_enable(machine, controller)
    )
