"""What was asked for: ``--privileged``, ``--cap-add``, ``--security-opt``, …, read and checked."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mydocker.engine.security import capabilities
from mydocker.kernel.errors import Failure

UNCONFINED = "unconfined"
_BUILTIN = "builtin"  # Docker's word for the default profile
_LARGEST = 1 << 20  # bytes of a profile


@dataclass(frozen=True)
class Security:
    """The confinement of one container.

    ``capabilities`` are full names; ``seccomp`` is a profile's JSON text, ``unconfined``, or "" for
    the default profile.
    """

    capabilities: tuple[str, ...] = tuple(sorted(capabilities.DEFAULT))
    privileged: bool = False
    no_new_privileges: bool = False
    seccomp: str = ""


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
    return Security(tuple(sorted(names)), privileged, no_new_privileges, seccomp)


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
            return f"seccomp={file.read(_LARGEST)}"
    except (OSError, UnicodeDecodeError) as error:
        said = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not UTF-8 text"
        hint = "seccomp=FILE names a profile in JSON; seccomp=unconfined is without"
        raise Failure(f"--security-opt seccomp={path}: {said}", hint) from None
