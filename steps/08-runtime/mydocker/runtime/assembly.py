"""From a spec to the parts that it is made of, and to the process that becomes its command.

The parts are those of the steps before, put together by another reader: a bundle in place of a
command line. Their order is the one that ``container.order`` says.
"""

import os
from typing import Any

from mydocker.cgroups import hierarchy
from mydocker.cgroups.part import CgroupPart, disposable_above
from mydocker.container.order import in_order
from mydocker.container.parts import Part
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record, replace
from mydocker.namespaces.kinds import LATER, flags_of
from mydocker.namespaces.parts import CgroupView, Clocks, HostName, Loopback
from mydocker.namespaces.users import Mapping, UserMaps
from mydocker.runtime import attributes, resources
from mydocker.runtime import specification as oci
from mydocker.runtime.hooks import RuntimeHooks
from mydocker.runtime.joining import JoinedByPath
from mydocker.runtime.privileges import Numbers, Powers, known
from mydocker.runtime.process import BundleProcess, CommandIsThere, command_of
from mydocker.runtime.reader import Kinds, kinds_of
from mydocker.runtime.root import BundleRoot, HostsMounts, plan_of, propagation_of
from mydocker.security import capabilities, guard, seccomp, sysctls


@record
class Asked:
    """What besides the bundle: the options of ``create``."""

    identifier: str
    bundle: str
    preserved: int = 0
    new_keyring: bool = True


@record
class Assembled:
    """A container before it is made: its process, flags for clone3(2), parts, control group."""

    process: BundleProcess
    flags: int
    parts: list[Part]
    group: str


def rootfs_of(spec: oci.Spec, bundle: str) -> str:
    """The root directory, without links. Raises Failure if there is none."""
    path = os.path.join(bundle, spec.root.path if spec.root else "")
    if not os.path.isdir(path):
        said = "not a directory" if os.path.exists(path) else "no such file or directory"
        raise Failure(f"invalid rootfs: stat {os.path.normpath(path)}: {said}")
    real = os.path.realpath(path)
    if real == "/":
        raise Failure("invalid rootfs: it is the host's")
    return real


def assembled(spec: oci.Spec, asked: Asked, state: dict[str, Any]) -> Assembled:
    """All of it; ``state`` is what its hooks are told. Raises Failure for what cannot be."""
    refuse_what_is_not_here(spec)
    process, kinds = _process(spec), kinds_of(spec.linux.namespaces)
    rootfs = rootfs_of(spec, asked.bundle)
    machine = hierarchy.read()
    group = resources.group_path(spec.linux.cgroups_path, asked.identifier)
    hooks = spec.hooks
    first, late = confinement(process, spec.linux.seccomp, spec.linux.personality)
    plan = plan_of(spec, asked.bundle, machine, group)
    parts: list[Part] = [
        guard.Undumpable(),
        guard.StillUndumpable(),
        CgroupPart(group, resources.limits_of(spec.linux.resources), _disposable(group, machine)),
        *resources.more(spec.linux.resources, group, machine),
        *_namespaces(spec, kinds),
        RuntimeHooks((*hooks.prestart, *hooks.create_runtime), {**state, "status": "creating"}),
        *_sysctls(spec, kinds),
        BundleRoot(
            rootfs,
            plan,
            hooks.create_container,
            {**state, "status": "creating"},
            propagation_of(spec.linux.rootfs_propagation),
        ),
        *([guard.Keyring(asked.identifier)] if asked.new_keyring else []),
        *first,
    ]
    command = replace(
        command_of(process, late, asked.preserved),
        hooks=hooks.start_container,
        state={**state, "status": "created"},
    )
    flags = flags_of({*kinds.new}) & ~LATER
    return Assembled(command, flags, in_order(parts), group)


def _process(spec: oci.Spec) -> oci.Process:
    if spec.process is None:
        raise Failure("process property must not be empty")
    return spec.process


def _disposable(group: str, machine: hierarchy.Machine) -> tuple[str, ...]:
    above = group.rpartition("/")[0]
    return disposable_above(above, machine) if above else ()


def _namespaces(spec: oci.Spec, kinds: Kinds) -> list[Part]:
    """What the new namespaces need inside, and the joined ones."""
    linux, new = spec.linux, kinds.new
    parts: list[Part] = [HostsMounts()]
    if "user" in new:
        maps = (_mappings(linux.uid_mappings), _mappings(linux.gid_mappings))
        parts.append(UserMaps(*maps, False))
    if "cgroup" in new:
        parts.append(CgroupView())
    if spec.hostname or spec.domainname:
        parts.append(HostName(spec.hostname or os.uname().nodename, spec.domainname))
    if "net" in new:
        parts.append(Loopback())
    if "time" in new:
        offsets = {name: one.secs for name, one in linux.time_offsets.items()}
        parts.append(Clocks(offsets.get("boottime", 0), offsets.get("monotonic", 0)))
    return [*(JoinedByPath(kind, path) for kind, path in kinds.joined.items()), *parts]


def _mappings(told: tuple[oci.IdMapping, ...]) -> tuple[Mapping, ...]:
    return tuple(Mapping(one.container_id, one.host_id, one.size) for one in told)


def _sysctls(spec: oci.Spec, kinds: Kinds) -> list[Part]:
    settings = spec.linux.sysctl
    for name in settings:
        needed = sysctls.namespace_of(name)
        if not needed or not kinds.own(needed):
            raise Failure(f'sysctl "{name}" is not in a separate kernel namespace')
    return [sysctls.Sysctls(tuple(settings.items()))] if settings else []


def confinement(
    process: oci.Process,
    filter_: oci.Seccomp | None,
    personality: oci.Personality | None = None,
) -> tuple[list[Part], tuple[Part, ...]]:
    """The parts that confine a process in their stages, and those that come after the gate.

    The filter is last of all, as what we do ourselves may not be allowed by it. Without
    ``noNewPrivileges`` the kernel takes it only from who has CAP_SYS_ADMIN: then it comes before
    the capabilities go.
    """
    sets = process.capabilities or oci.CapabilitySets()
    first: list[Part] = [
        *attributes.parts_of(process, personality),
        Numbers(process.user),
        CommandIsThere(process.args[0], process.cwd),
        capabilities.KeepCapabilities(),
        capabilities.Ceiling(known(sets.bounding)),
    ]
    if process.oom_score_adj is not None:
        from mydocker.security import ulimits

        first.append(ulimits.OomScore(process.oom_score_adj))
    if process.rlimits:
        from mydocker.security import ulimits

        limits = tuple(_ulimit(one, ulimits.NAMES) for one in process.rlimits)
        first.append(ulimits.Ulimits(limits))
    late: list[Part] = [Powers(sets)]
    if process.no_new_privileges:
        first.append(seccomp.NoNewPrivileges())
    if filter_ is not None:
        from mydocker.runtime.filtering import flags_of as filter_flags
        from mydocker.runtime.filtering import program_of

        made = seccomp.Filter(program_of(filter_), filter_flags(filter_))
        late = [*late, made] if process.no_new_privileges else [made, *late]
    return first, tuple(late)


def _ulimit(one: oci.Rlimit, names: tuple[str, ...]) -> Any:
    from mydocker.security.specification import Ulimit

    name = one.type.removeprefix("RLIMIT_").lower()
    if name not in names or not one.type.startswith("RLIMIT_"):
        raise Failure(f"wrong rlimit value: {one.type}")
    infinite = (1 << 64) - 1
    soft, hard = (-1 if value == infinite else value for value in (one.soft, one.hard))
    return Ulimit(name, soft, hard)


def refuse_what_is_not_here(spec: oci.Spec) -> None:
    """What a machine or we do not have is an error, and not left out: config.md, "Valid values"."""
    process, linux = _process(spec), spec.linux
    if process.selinux_label or linux.mount_label:
        raise Failure(
            "selinux label is specified in config, but selinux is disabled or not supported"
        )
    if process.apparmor_profile and not os.path.exists("/sys/kernel/security/apparmor"):
        raise Failure("apparmor profile is specified in config, but apparmor is not enabled")
    if linux.intel_rdt is not None:
        raise Failure("intelRdt is specified in config, but Intel RDT is not supported")
