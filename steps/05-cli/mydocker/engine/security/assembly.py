"""The parts that confine a container, each in its place among the others.

The order is the point. Each defence takes something away, so it must come after all that needs it,
and before anything that is not ours runs:

1. before the process exists: it is not dumpable;
2. once the container's root is ``/``: the keyring;
3. around the change of user: root's powers survive it, for what follows;
4. at the end: the ceiling of capabilities, no_new_privs, the seccomp filter, and last of all the
   capabilities that installed it.
"""

from collections.abc import Sequence
from dataclasses import replace

from mydocker.container.parts import Part
from mydocker.engine.security import capabilities, guard, seccomp
from mydocker.engine.security.settings import UNCONFINED, Security
from mydocker.overlay2.user import UserPart


def confined(parts: Sequence[Part], security: Security, keyring: str) -> list[Part]:
    """``parts`` of a container or of an exec, with the confinement put around and between them.

    ``keyring`` names the session keyring: the container's id, for exec too.
    """
    before: list[Part] = [guard.Undumpable()]
    result: list[Part] = []
    for part in parts:
        if isinstance(part, UserPart):
            result += [guard.Undumpable(), guard.Keyring(keyring), capabilities.KeepCapabilities()]
        result.append(part)
    return [*before, *result, *_last(security)]


def _last(security: Security) -> list[Part]:
    names = security.capabilities
    parts: list[Part] = [capabilities.Ceiling(names)]
    if security.no_new_privileges:
        parts.append(seccomp.NoNewPrivileges())
    if security.seccomp != UNCONFINED:
        parts.append(seccomp.Filter(seccomp.program(security.seccomp, names)))
    return [*parts, capabilities.Capabilities(names)]


def all_capabilities(security: Security) -> Security:
    """For ``exec --privileged``: the same, with every capability."""
    return replace(security, capabilities=tuple(sorted(capabilities.NAMES)))
