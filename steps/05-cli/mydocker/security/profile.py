"""A seccomp profile as Docker writes it in JSON, and what of it holds for one container.

A profile has a default action and a list of rules. A rule names system calls and an action, maybe
with conditions on their arguments; ``includes`` and ``excludes`` say for which capabilities,
machines and kernels it is meant at all. Docker's documentation: "Seccomp security profiles"; the
format: the OCI runtime specification, config-linux.md.
"""

import os
from collections.abc import Collection, Sequence
from typing import Any

from mydocker.kernel.errors import Failure, Invalid
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import record

# <linux/seccomp.h>: what a filter answers; the lower 16 bits are data, an errno for example
KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000
TRAP = 0x00030000
ERRNO = 0x00050000
TRACE = 0x7FF00000
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000
_DATA = 0xFFFF
_EPERM = 1

ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_ALLOW": ALLOW,
}
_WITH_DATA = (ERRNO, TRACE)
OPERATORS = ("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")
# What Go, and so Docker, calls the machines
_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


@record
class Condition:
    """``args[argument] operator value``; of MASKED_EQ, ``args[argument] & value == value_two``."""

    argument: int
    operator: str
    value: int
    value_two: int = 0


@record
class Rule:
    """For these calls, if all conditions hold: this action."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...] = ()


@record
class Profile:
    """Of the rules that match a call the first decides; without one, ``default``."""

    default: int
    rules: tuple[Rule, ...]


@record
class Surroundings:
    """What ``includes`` and ``excludes`` are compared with."""

    capabilities: frozenset[str]
    machine: str
    kernel: tuple[int, int]


def here(capabilities: Collection[str]) -> Surroundings:
    """This machine, for a container with ``capabilities``."""
    major, minor = os.uname().release.split(".")[:2]
    digits = "".join(character for character in minor if character.isdigit())
    return Surroundings(frozenset(capabilities), os.uname().machine, (int(major), int(digits)))


def parse(text: str, surroundings: Surroundings) -> Profile:
    """The profile of a JSON text, as far as it holds there. Raises Failure for what it cannot be.

    As in Docker, names of system calls that this machine does not have are no error: a profile is
    written for many.
    """
    import json

    try:
        told = json.loads(text)
    except ValueError as error:
        raise _wrong(f"not JSON: {error}") from None
    return told_profile(told, surroundings)


def told_profile(told: Any, surroundings: Surroundings) -> Profile:
    """As :func:`parse`, of what JSON holds already."""
    if not isinstance(told, dict) or not isinstance(told.get("syscalls") or [], list):
        raise _wrong("not a profile", "It is an object with defaultAction and a list syscalls")
    if "listenerPath" in told:
        raise _wrong("listenerPath is not supported")
    default = _action(told, "defaultAction", "defaultErrnoRet")
    rules: list[Rule] = []
    for entry in told.get("syscalls") or []:
        if not isinstance(entry, dict):
            raise _wrong(f"{entry!r} in syscalls: not an object")
        if _applies(entry, surroundings):
            rules += _rules(entry)
    return Profile(default, tuple(rule for rule in rules if rule.action != default))


def _wrong(message: str, hint: str = "See Docker's documentation of seccomp profiles") -> Failure:
    return Invalid(f"seccomp profile: {message}", hint)


def _action(told: dict[str, Any], key: str, errno_key: str) -> int:
    name = told.get(key)
    if name == "SCMP_ACT_NOTIFY":
        raise _wrong("SCMP_ACT_NOTIFY is not supported", "There would be nobody to ask")
    if name not in ACTIONS:
        raise _wrong(f"{key} {name!r}: unknown action", f"Known: {', '.join(ACTIONS)}")
    action = ACTIONS[name]
    number = told.get(errno_key)
    return action | ((_EPERM if number is None else _integer(number, errno_key)) & _DATA
                     if action in _WITH_DATA else 0)  # fmt: skip


def _integer(value: object, where: str) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise _wrong(f"{where} {value!r}: not a number from 0 to 2^64-1")
    return value


def _applies(entry: dict[str, Any], surroundings: Surroundings) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    machine = _GO_NAMES.get(surroundings.machine, surroundings.machine)
    if any(name in surroundings.capabilities for name in excludes.get("caps") or ()):
        return False
    if machine in (excludes.get("arches") or ()):
        return False
    if "minKernel" in excludes and surroundings.kernel >= _version(excludes["minKernel"]):
        return False
    if not all(name in surroundings.capabilities for name in includes.get("caps") or ()):
        return False
    if includes.get("arches") and machine not in includes["arches"]:
        return False
    return "minKernel" not in includes or surroundings.kernel >= _version(includes["minKernel"])


def _version(text: str) -> tuple[int, int]:
    major, dot, minor = str(text).partition(".")
    numbers = decimal(major, 1 << 31), decimal(minor, 1 << 31)
    if not dot or numbers[0] is None or numbers[1] is None:
        raise _wrong(f"minKernel {text!r}: not a version", "Write it as 4.8")
    return numbers[0], numbers[1]


def _rules(entry: dict[str, Any]) -> list[Rule]:
    names = entry.get("names") or ([entry["name"]] if "name" in entry else [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _wrong(f"names {names!r}: not a list of names")
    action = _action(entry, "action", "errnoRet")
    conditions = tuple(_condition(told) for told in entry.get("args") or ())
    if len({condition.argument for condition in conditions}) < len(conditions):
        # runc's meaning: two conditions on one argument are alternatives
        return [Rule(tuple(names), action, (condition,)) for condition in conditions]
    return [Rule(tuple(names), action, conditions)]


def _condition(told: Any) -> Condition:
    if not isinstance(told, dict):
        raise _wrong(f"args {told!r}: not an object")
    operator = str(told.get("op")).removeprefix("SCMP_CMP_")
    if operator not in OPERATORS:
        raise _wrong(f"op {told.get('op')!r}: unknown", "Known: SCMP_CMP_EQ, NE, LT, LE, GT, GE, "
                     "MASKED_EQ")  # fmt: skip
    index = _integer(told.get("index"), "index")
    if index > 5:
        raise _wrong(f"index {index}: a system call has arguments 0 to 5")
    value = _integer(told.get("value", 0), "value")
    return Condition(index, operator, value, _integer(told.get("valueTwo") or 0, "valueTwo"))


def allows(profile: Profile, name: str) -> bool:
    """True if the call ``name`` is allowed, with some arguments at least."""
    matching: Sequence[Rule] = [rule for rule in profile.rules if name in rule.names]
    for rule in matching:
        if rule.action in (ALLOW, LOG):
            return True
        if not rule.conditions:
            return False
    return profile.default in (ALLOW, LOG)
