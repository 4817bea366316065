"""The parts that confine a container, each in its place among the others.

The order is the point. Each defence takes something away, so it must come after all that needs it,
and before anything that is not ours runs:

1. before the process exists: it is not dumpable, and the control group knows the devices;
2. in the namespaces, before the container's root is ``/``: their sysctls;
3. in that root: the keyring;
4. around the change of user: root's powers survive it, for what follows;
5. at the end: ulimits, the ceiling of capabilities, no_new_privs, the seccomp filter, and last of
   all the capabilities that were needed to install it.
"""

from collections.abc import Sequence

from mydocker.cgroups.devices import ALL as ALL_DEVICES
from mydocker.cgroups.part import CgroupPart
from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import replace
from mydocker.overlay2.part import RootPart
from mydocker.overlay2.rootfs import Contents
from mydocker.overlay2.user import UserPart
from mydocker.security import capabilities, guard, seccomp, sysctls
from mydocker.security.settings import UNCONFINED, Security


def confined(parts: Sequence[Part], security: Security, flags: int, keyring: str) -> list[Part]:
    """``parts`` of a container with the confinement put around and between them.

    ``flags`` are the CLONE_NEW* flags of its namespaces; ``keyring`` names its session keyring: its
    id. Raises Failure for what cannot be with these namespaces.
    """
    result: list[Part] = [guard.Undumpable()]
    if security.oom_score_adj is not None:
        from mydocker.security import ulimits

        result.append(ulimits.OomScore(security.oom_score_adj))
    for part in parts:
        if isinstance(part, CgroupPart):
            part = _with_rules(part, security)
        elif isinstance(part, RootPart):
            result += _sysctls(security, flags)
            part = replace(part, contents=_contents(security))
        elif isinstance(part, UserPart):
            result += _before_user(keyring)
            part = replace(part, more=security.groups)
        result.append(part)
    return [*result, *_last(security)]


def confined_exec(
    joined: Sequence[Part], user: str, security: Security, keyring: str
) -> list[Part]:
    """The parts of a process that is put into a running container: it may do no more than others.

    ``joined`` enter the container's namespaces and root; ``user`` is UserPart's.
    """
    return [
        guard.Undumpable(),
        *joined,
        *_before_user(keyring),
        UserPart(user, security.groups),
        *_last(security),
    ]


def with_all_capabilities(security: Security) -> Security:
    """For ``exec --privileged``: the same, with every capability; the filter stays (Docker)."""
    return replace(security, capabilities=tuple(sorted(capabilities.NAMES)))


def _before_user(keyring: str) -> list[Part]:
    return [guard.Undumpable(), guard.Keyring(keyring), capabilities.KeepCapabilities()]


def _last(security: Security) -> list[Part]:
    names = security.capabilities
    parts: list[Part] = [capabilities.Ceiling(names)]
    if security.ulimits:
        from mydocker.security import ulimits

        parts.append(ulimits.Ulimits(security.ulimits))
    if security.no_new_privileges:
        parts.append(seccomp.NoNewPrivileges())
    if security.seccomp != UNCONFINED:
        parts.append(seccomp.Filter(seccomp.program(security.seccomp, names)))
    return [*parts, capabilities.Capabilities(names)]


def _with_rules(part: CgroupPart, security: Security) -> CgroupPart:
    """The control group that lets it use the devices that it is given."""
    given = (ALL_DEVICES,) if security.privileged else tuple(d.rule for d in security.devices)
    if not given or part.limits.devices is None:
        return part
    return replace(part, limits=replace(part.limits, devices=(*part.limits.devices, *given)))


def _contents(security: Security) -> Contents:
    given = [one.device for one in security.devices]
    if security.privileged:
        from mydocker.security import devices

        given += devices.everything()
    return Contents(security.shm_size, tuple(given), security.privileged)


def _sysctls(security: Security, flags: int) -> list[Part]:
    settings = dict(security.sysctls)
    if not flags & syscalls.CLONE_NEWNET:
        if names := sysctls.of_network(security.sysctls):
            hint = "It would be changed for the host, or for the other container"
            raise Failure(f"--sysctl {names[0]}: not allowed without a network of its own", hint)
    elif not flags & syscalls.CLONE_NEWUSER:  # where groups may have no number outside
        settings = {**dict(sysctls.DEFAULT), **settings}
    return [sysctls.Sysctls(tuple(settings.items()))] if settings else []
