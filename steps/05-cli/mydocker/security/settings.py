"""What was asked for: ``--privileged``, ``--cap-add``, ``--security-opt``, …, read and checked."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.security import capabilities, sysctls

if TYPE_CHECKING:  # what few containers are given is loaded for those
    from mydocker.security.devices import Given
    from mydocker.security.ulimits import Ulimit

UNCONFINED = "unconfined"
_BUILTIN = "builtin"  # Docker's word for the default profile
_LARGEST = 1 << 20  # bytes of a profile


@record
class Security:
    """The confinement of one container, and what it is given of the host.

    ``capabilities`` are full names; ``seccomp`` is a profile's JSON text, ``unconfined``, or "" for
    the default profile; ``shm_size`` in bytes, 0 for the default; ``oom_score_adj`` None: as ours.
    """

    capabilities: tuple[str, ...] = tuple(sorted(capabilities.DEFAULT))
    privileged: bool = False
    no_new_privileges: bool = False
    seccomp: str = ""
    ulimits: "tuple[Ulimit, ...]" = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    devices: "tuple[Given, ...]" = ()
    groups: tuple[str, ...] = ()
    shm_size: int = 0
    oom_score_adj: int | None = None


def from_options(options: Mapping[str, Any]) -> Security:
    """From the options of a command line, by name; what is not among them has its default.

    Raises Failure for what cannot be.
    """
    privileged = bool(options.get("privileged"))
    add = ("ALL",) if privileged else tuple(options.get("cap_add") or ())
    names = capabilities.chosen(add, options.get("cap_drop") or ())
    no_new_privileges, seccomp = _security_opts(options.get("security_opt") or ())
    if privileged and not seccomp:
        seccomp = UNCONFINED
    return Security(
        tuple(sorted(names)),
        privileged,
        no_new_privileges,
        seccomp,
        _ulimits(options.get("ulimits") or ()),
        sysctls.parse(options.get("sysctls") or ()),
        _devices(options.get("devices_given") or ()),
        tuple(options.get("group_add") or ()),
        _shm_size(options.get("shm_size")),
        _oom_score(options.get("oom_score_adj")),
    )


def _ulimits(texts: tuple[str, ...]) -> "tuple[Ulimit, ...]":
    if not texts:
        return ()
    from mydocker.security import ulimits

    return tuple({limit.name: limit for limit in map(ulimits.parse, texts)}.values())


def _devices(texts: tuple[str, ...]) -> "tuple[Given, ...]":
    if not texts:
        return ()
    from mydocker.security import devices

    return tuple(one for text in texts for one in devices.given(text))


def _security_opts(texts: tuple[str, ...]) -> tuple[bool, str]:
    """``(no_new_privileges, seccomp)`` from the texts of ``--security-opt``."""
    no_new_privileges, seccomp = False, ""
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            name, separator, value = text.partition(":")  # Docker's older way to write it
        if name == "no-new-privileges" and value in ("", "true", "false"):
            no_new_privileges = value != "false"
        elif name == "seccomp" and value:
            seccomp = "" if value == _BUILTIN else value
        else:
            hint = "Known: no-new-privileges, seccomp=unconfined, seccomp=FILE"
            raise Failure(f"invalid --security-opt: {text!r}", hint)
    return no_new_privileges, seccomp


def read_profile(text: str) -> str:
    """A text of ``--security-opt`` with the profile itself in the place of its file's name.

    So what is kept of a container does not change with the file. Raises Failure.
    """
    name, _, path = text.partition("=")
    if name != "seccomp" or path in ("", UNCONFINED, _BUILTIN) or path.startswith("{"):
        return text
    try:
        with open(path, encoding="utf-8") as file:
            profile = file.read(_LARGEST).strip()
    except (OSError, UnicodeDecodeError) as error:
        said = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not UTF-8 text"
        raise Failure(f"--security-opt seccomp={path}: {said}", _SECCOMP_FORMS) from None
    if not profile.startswith("{"):  # else the text would pass for a file's name from here on
        raise Failure(f"--security-opt seccomp={path}: not a JSON object", _SECCOMP_FORMS)
    return f"seccomp={profile}"


_SECCOMP_FORMS = "seccomp=FILE names a profile in JSON; seccomp=unconfined is without"


def _shm_size(text: str | None) -> int:
    if not text:
        return 0
    from mydocker.cgroups.limits import memory

    size = memory(text) or 0
    if size <= 0:
        raise Failure(f"--shm-size {text}: must be more than 0", "Write a size, as 64m or 1g")
    return size


def _oom_score(adjustment: int | None) -> int | None:
    if adjustment is not None and not -1000 <= adjustment <= 1000:
        message = f"--oom-score-adj {adjustment}: Invalid value, range for oom score adj is "
        raise Failure(message + "[-1000, 1000]")
    return adjustment
