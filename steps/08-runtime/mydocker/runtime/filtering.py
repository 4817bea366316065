"""``linux.seccomp`` as the profile of step 05."""

import os

from mydocker.kernel.errors import Failure
from mydocker.runtime.specification import Seccomp, SyscallRule
from mydocker.security import bpf
from mydocker.security.profile import here, told_profile


def program_of(asked: Seccomp) -> bytes:
    """The program that the kernel runs before each system call. Raises Failure."""
    if asked.listener_path or asked.listener_metadata:
        raise Failure("seccomp listenerPath is not supported")
    told = {
        "defaultAction": asked.default_action,
        "defaultErrnoRet": asked.default_errno_ret,
        "syscalls": [_rule(rule) for rule in asked.syscalls],
    }
    return bpf.compiled(told_profile(told, here(())), os.uname().machine)


_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,  # <linux/seccomp.h>
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}


def flags_of(asked: Seccomp) -> int:
    """The flags of seccomp(2). Raises Failure for one that has no meaning here."""
    unknown = [name for name in asked.flags if name not in _FLAGS]
    if unknown:
        raise Failure(f"seccomp flag {unknown[0]!r} is not supported".replace("'", '"'))
    return sum({_FLAGS[name] for name in asked.flags})


def _rule(rule: SyscallRule) -> dict[str, object]:
    conditions = [
        {"index": one.index, "value": one.value, "valueTwo": one.value_two, "op": one.op}
        for one in rule.args
    ]
    return {
        "names": list(rule.names),
        "action": rule.action,
        "errnoRet": rule.errno_ret,
        "args": conditions,
    }
