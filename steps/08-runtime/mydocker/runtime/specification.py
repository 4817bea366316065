"""What a bundle's ``config.json`` asks for: the records of the OCI runtime specification.

Each record is one object of the specification (config.md, config-linux.md), with its fields in the
same order, their names written as Python writes names: ``noNewPrivileges`` is
``no_new_privileges``. A field without a default has to be there. ``reader`` makes them of JSON.
"""

from mydocker.kernel.records import field, record

LATEST = "1.3.0"  # of the specification; a bundle of any 1.x is taken


# ---------------------------------------------------------------- config.md: the process


@record
class Box:
    """``consoleSize``: of the terminal, in characters."""

    height: int = 0
    width: int = 0


@record
class User:
    """Who the process is: numbers, which need no file of the container."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


@record
class Rlimit:
    """``RLIMIT_NOFILE`` and so on (getrlimit(2))."""

    type: str
    soft: int = 0
    hard: int = 0


@record
class CapabilitySets:
    """The five sets of capabilities(7), by names."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


@record
class Scheduler:
    """sched_setattr(2)."""

    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()
    runtime: int = 0
    deadline: int = 0
    period: int = 0


@record
class IoPriority:
    """ioprio_set(2): ``class`` is a word of Python's."""

    class_: str
    priority: int = 0


@record
class Affinity:
    """On which CPUs an ``exec`` begins, and where it goes on."""

    initial: str = ""
    final: str = ""


@record
class Process:
    """The command, and what it may do."""

    terminal: bool = False
    console_size: Box | None = None
    cwd: str = ""
    env: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    apparmor_profile: str = ""
    capabilities: CapabilitySets | None = None
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    scheduler: Scheduler | None = None
    selinux_label: str = ""
    io_priority: IoPriority | None = None
    exec_cpu_affinity: Affinity | None = None
    user: User = User()


@record
class Root:
    """The container's root directory, from the bundle's on."""

    path: str
    readonly: bool = False


@record
class IdMapping:
    """``size`` ids from ``containerID`` on are those from ``hostID`` on."""

    container_id: int
    host_id: int
    size: int


@record
class Mount:
    """One mount, in its order."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()


@record
class Hook:
    """A program to run at one moment; ``timeout`` in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


@record
class Hooks:
    """Six moments, in their order."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


# ---------------------------------------------------------------- config-linux.md


@record
class Namespace:
    """A new one of this type, or with a ``path`` the one that is there."""

    type: str
    path: str = ""


@record
class Device:
    """A device node to make."""

    type: str
    path: str
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    uid: int = 0
    gid: int = 0


@record
class DeviceRule:
    """Which devices may be used; None stands for all."""

    allow: bool = False
    type: str = ""
    major: int | None = None
    minor: int | None = None
    access: str = ""


@record
class Memory:
    """Bytes; -1 is no limit."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool = False
    use_hierarchy: bool | None = None
    check_before_update: bool = False


@record
class Cpu:
    """Times in microseconds."""

    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None


@record
class Pids:
    """How many tasks there may be."""

    limit: int | None = None


@record
class Weight:
    """Of one block device."""

    major: int
    minor: int
    weight: int | None = None
    leaf_weight: int | None = None


@record
class Throttle:
    """So many bytes or operations of one block device in a second."""

    major: int
    minor: int
    rate: int


@record
class BlockIo:
    """Weights and throttles of disks."""

    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: tuple[Weight, ...] = ()
    throttle_read_bps_device: tuple[Throttle, ...] = ()
    throttle_write_bps_device: tuple[Throttle, ...] = ()
    throttle_read_iops_device: tuple[Throttle, ...] = ()
    throttle_write_iops_device: tuple[Throttle, ...] = ()


@record
class HugepageLimit:
    """``page_size`` as ``2MB``; bytes."""

    page_size: str
    limit: int = 0


@record
class InterfacePriority:
    """net_prio of v1."""

    name: str
    priority: int = 0


@record
class Network:
    """net_cls and net_prio of v1."""

    class_id: int | None = None
    priorities: tuple[InterfacePriority, ...] = ()


@record
class Rdma:
    """Of one InfiniBand device."""

    hca_handles: int | None = None
    hca_objects: int | None = None


@record
class Resources:
    """What the container may use."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    block_io: BlockIo | None = None
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: Network | None = None
    rdma: dict[str, Rdma] = field(default_factory=dict)
    unified: dict[str, str] = field(default_factory=dict)


@record
class SyscallArgument:
    """A condition on an argument of a system call."""

    index: int
    op: str
    value: int = 0
    value_two: int = 0


@record
class SyscallRule:
    """For these system calls, if all conditions hold: this action."""

    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[SyscallArgument, ...] = ()


@record
class Seccomp:
    """The filter in front of all system calls."""

    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[SyscallRule, ...] = ()


@record
class IntelRdt:
    """Cache and memory bandwidth, where the processor can divide them."""

    clos_id: str = ""
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""


@record
class Personality:
    """personality(2)."""

    domain: str
    flags: tuple[str, ...] = ()


@record
class TimeOffset:
    """By how much a clock of a time namespace is moved."""

    secs: int = 0
    nanosecs: int = 0


@record
class Linux:
    """All that only Linux has."""

    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    sysctl: dict[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    cgroups_path: str = ""
    namespaces: tuple[Namespace, ...] = ()
    devices: tuple[Device, ...] = ()
    seccomp: Seccomp | None = None
    rootfs_propagation: str = ""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    intel_rdt: IntelRdt | None = None
    personality: Personality | None = None
    time_offsets: dict[str, TimeOffset] = field(default_factory=dict)


@record
class Spec:
    """A whole ``config.json``."""

    oci_version: str = ""
    process: Process | None = None
    root: Root | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = field(default_factory=dict)
    linux: Linux = Linux()
