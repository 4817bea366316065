"""``--ulimit NAME=SOFT[:HARD]``: what a single process may use (getrlimit(2)).

A process may move its soft limit up to the hard one; only CAP_SYS_RESOURCE, which a container does
not have, lifts the hard one. They are older than control groups and count one process, or all of a
user on the whole machine (nproc, sigpending, msgqueue): for a container, control groups are better.
"""

import errno

from mydocker.container.parts import Part
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Invalid, hints
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import record
from mydocker.security.specification import Ulimit

# <asm-generic/resource.h>: the numbers of RLIMIT_*, in their order
NAMES = (
    "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks",
    "sigpending", "msgqueue", "nice", "rtprio", "rttime",
)  # fmt: skip
UNLIMITED = -1

_RAISING = {
    errno.EPERM: "To raise a hard limit you need CAP_SYS_RESOURCE yourself: see ulimit -H -a",
    errno.EINVAL: "SOFT may not be more than HARD",
}


def parse(text: str) -> Ulimit:
    """``nofile=1024:2048``, ``core=0``, ``memlock=-1``. Raises Failure."""
    name, equals, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    if name not in NAMES:
        raise Invalid(f"--ulimit {text}: invalid ulimit type: {name}", f"Known: {', '.join(NAMES)}")
    if not equals or not _is_limit(soft) or (colon and not _is_limit(hard)):
        raise Invalid(f"--ulimit {text}: not a limit", "Write NAME=SOFT[:HARD]; -1 is unlimited")
    limit = Ulimit(name, int(soft), int(hard if colon else soft))
    if limit.hard != UNLIMITED and (limit.soft == UNLIMITED or limit.soft > limit.hard):
        raise Invalid(
            f"--ulimit {text}: ulimit soft limit must be less than or equal to hard limit: "
            f"{limit.soft} > {limit.hard}"
        )
    return limit


def _is_limit(text: str) -> bool:
    return text == str(UNLIMITED) or decimal(text, (1 << 63) - 1) is not None


@record
class Ulimits(Part):
    """Inside, late: our own process must not run into them, and early enough to raise some."""

    stage = "powers"

    limits: tuple[Ulimit, ...]

    def enter(self) -> None:
        for one in self.limits:
            number, why = NAMES.index(one.name), f"--ulimit {one.name}"
            with hints(_RAISING):
                syscalls.setrlimit(number, one.soft, one.hard, shown=one.name, why=why)


@record
class OomScore(Part):
    """``--oom-score-adj``: how soon it is chosen when the machine has no memory left (proc(5))."""

    stage = "guard"

    adjustment: int

    def attach(self, pid: int) -> None:
        hint = "To lower it you need CAP_SYS_RESOURCE"
        with hints({errno.EACCES: hint, errno.EPERM: hint}):
            why = "which process is killed first when memory is full"
            files.write(f"/proc/{pid}/oom_score_adj", str(self.adjustment), why=why)
