"""The texts of ``--security-opt``, ``--shm-size`` and the like, read and checked."""

import os
from collections.abc import Iterable

from mydocker.kernel.errors import Invalid
from mydocker.security.specification import UNCONFINED

_BUILTIN = "builtin"  # Docker's word for the default profile
_LARGEST = 1 << 20  # bytes of a profile
_SECCOMP_FORMS = "seccomp=FILE names a profile in JSON; seccomp=unconfined is without"


def security_opts(texts: Iterable[str]) -> tuple[bool, str]:
    """``(no_new_privileges, seccomp)`` from the texts of ``--security-opt``. Raises Failure."""
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
            raise Invalid(f"invalid --security-opt: {text!r}", hint)
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
        raise Invalid(f"--security-opt seccomp={path}: {said}", _SECCOMP_FORMS) from None
    if not profile.startswith("{"):  # else the text would pass for a file's name from here on
        raise Invalid(f"--security-opt seccomp={path}: not a JSON object", _SECCOMP_FORMS)
    return f"seccomp={profile}"


def shm_size(text: str | None) -> int:
    """Bytes of ``--shm-size``; 0 for the default. Raises Failure."""
    if not text:
        return 0
    from mydocker.kernel.sizes import parse_size

    size = parse_size(text)
    if size <= 0:
        raise Invalid(f"--shm-size {text}: must be more than 0", "Write a size, as 64m or 1g")
    return size


def oom_score(adjustment: int | None) -> int | None:
    """``--oom-score-adj``. Raises Failure."""
    if adjustment is not None and not -1000 <= adjustment <= 1000:
        message = f"--oom-score-adj {adjustment}: Invalid value, range for oom score adj is "
        raise Invalid(message + "[-1000, 1000]")
    return adjustment
