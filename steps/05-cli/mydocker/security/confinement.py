"""The parts that confine a container.

Their order among the others (``container.order``) is the point. Each defence takes something away,
so it must come after all that needs it, and before anything that is not ours runs:

1. before the process exists: it is not dumpable, and the control group knows the devices;
2. in the namespaces, before the container's root is ``/``: their sysctls;
3. in that root: the keyring;
4. around the change of user: root's powers survive it, for what follows;
5. at the end: ulimits, the ceiling of capabilities, no_new_privs, the seccomp filter, and last of
   all the capabilities that were needed to install it.
"""

from collections.abc import Sequence

from mydocker.cgroups.devices import ALL as ALL_DEVICES
from mydocker.cgroups.limits import Limits
from mydocker.container.order import in_order
from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Invalid
from mydocker.kernel.records import replace
from mydocker.namespaces.specification import Namespaces
from mydocker.overlay2.plan import Contents
from mydocker.overlay2.user import UserPart
from mydocker.security import capabilities, guard, seccomp, sysctls
from mydocker.security.specification import UNCONFINED, Security


def confinement_parts(asked: Security, namespaces: Namespaces, keyring: str) -> list[Part]:
    """What confines a container with these ``namespaces``; ``keyring`` is its id.

    Raises Failure for what cannot be with these namespaces.
    """
    parts: list[Part] = [guard.Undumpable()]
    if asked.oom_score_adj is not None:
        from mydocker.security import ulimits

        parts.append(ulimits.OomScore(asked.oom_score_adj))
    return [*parts, *_sysctls(asked, namespaces), *_before_user(keyring), *_last(asked)]


def confined_exec(
    joined: Sequence[Part], user: str, groups: tuple[str, ...], asked: Security, keyring: str
) -> list[Part]:
    """The parts of a process that is put into a running container: it may do no more than others.

    ``joined`` enter the container's namespaces and root; ``user`` and ``groups`` are UserPart's.
    """
    own = [guard.Undumpable(), UserPart(user, groups), *_before_user(keyring), *_last(asked)]
    return in_order([*joined, *own])


def with_all_capabilities(asked: Security) -> Security:
    """For ``exec --privileged``: the same, with every capability; the filter stays (Docker)."""
    profile, add = asked.profile, (capabilities.ALL,)
    return replace(asked, privileged=False, seccomp=profile, cap_add=add, cap_drop=())


def _before_user(keyring: str) -> list[Part]:
    return [guard.StillUndumpable(), guard.Keyring(keyring), capabilities.KeepCapabilities()]


def _last(asked: Security) -> list[Part]:
    names = asked.capabilities
    parts: list[Part] = [capabilities.Ceiling(names)]
    if asked.ulimits:
        from mydocker.security import ulimits

        parts.append(ulimits.Ulimits(asked.ulimits))
    if asked.no_new_privileges:
        parts.append(seccomp.NoNewPrivileges())
    if asked.profile != UNCONFINED:
        parts.append(seccomp.Filter(seccomp.program(asked.profile, names)))
    return [*parts, capabilities.Capabilities(names)]


def with_devices(limits: Limits, asked: Security) -> Limits:
    """``limits`` of a control group that lets it use the devices that it is given."""
    if limits.devices is None:
        return limits
    if asked.privileged:
        return replace(limits, devices=(*limits.devices, ALL_DEVICES))
    if not asked.devices:
        return limits
    from mydocker.security import devices

    rules = [one.rule for mapping in asked.devices for one in devices.given(mapping)]
    return replace(limits, devices=(*limits.devices, *rules))


def contents(asked: Security) -> Contents:
    """What there is in its root besides the image."""
    if not asked.devices and not asked.privileged:
        return Contents(asked.shm_size)
    from mydocker.security import devices

    given = [one.device for mapping in asked.devices for one in devices.given(mapping)]
    if asked.privileged:
        given += devices.everything()
    return Contents(asked.shm_size, tuple(given), asked.privileged)


def _sysctls(asked: Security, namespaces: Namespaces) -> list[Part]:
    settings, flags = asked.sysctls or {}, namespaces.flags
    if not flags & syscalls.CLONE_NEWNET:
        if names := sysctls.of_network(settings):
            hint = "It would be changed for the host, or for the other container"
            raise Invalid(f"--sysctl {names[0]}: not allowed without a network of its own", hint)
    elif not flags & syscalls.CLONE_NEWUSER:  # where groups may have no number outside
        settings = {**dict(sysctls.DEFAULT), **settings}
    return [sysctls.Sysctls(tuple(settings.items()))] if settings else []
