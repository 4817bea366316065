"""Limits as the reader says them: Docker's forms, checked before anything is changed.

``parse`` functions turn one option's text into a number, and refuse nonsense with the forms that
they accept. ``Limits`` holds them all and ``check`` looks at them together and at the machine: more
CPUs than there are, swap that is less than memory.
"""

import math
import os
import re
import stat
from collections.abc import Mapping
from typing import Any

from mydocker.kernel.errors import Invalid
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import fields, record, replace
from mydocker.kernel.sizes import parse_size, short, size_text

UNLIMITED = -1
MINIMUM_MEMORY = 6 << 20  # Docker's: below, not even a shell starts
DEFAULT_PERIOD = 100_000  # microseconds

# Compiled when they are used: most runs use one of them, or none.
_CPU_LIST = r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*"
_DEVICE_RULE = r"([abc]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})"


@record
class Limits:
    """What a container may use; None means: no limit of its own.

    Sizes are bytes, times microseconds, rates per second. A device is ``major:minor``. ``devices``
    are rules that the container may use on top of the usual ones, or None for all devices.
    """

    memory: int | None = None
    memory_swap: int | None = None  # memory and swap together; UNLIMITED
    memory_reservation: int | None = None
    oom_kill_disable: bool = False
    cpus: float | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids: int | None = None  # UNLIMITED
    blkio_weight: int | None = None
    read_bps: tuple[tuple[str, int], ...] = ()
    write_bps: tuple[tuple[str, int], ...] = ()
    read_iops: tuple[tuple[str, int], ...] = ()
    write_iops: tuple[tuple[str, int], ...] = ()
    devices: tuple[str, ...] | None = None

    @property
    def any(self) -> bool:
        """Is there any limit at all?"""
        return any(getattr(self, name) not in (None, (), False) for name in fields(self))

    def changed(self, told: Mapping[str, Any]) -> "Limits":
        """These limits, but for those in ``told``; None there takes one away.

        The sum of memory and swap that came with a limit of memory stays when only that limit is
        changed. Raises Failure if the whole makes no sense.
        """
        memory, swap = told.get("memory", self.memory), self.memory_swap
        if memory is not None and "memory_swap" not in told:
            swap = swap if swap is not None or self.memory is None else 2 * self.memory
            if swap is not None and UNLIMITED != swap < memory:
                raise Invalid(
                    "Memory limit should be smaller than already set memoryswap limit, update the "
                    "memoryswap at the same time",
                    f"Memory and swap together may be {size_text(swap)}: say --memory-swap too",
                )
        elif memory is None:
            swap = None
        return replace(self, **{"memory_swap": swap, **told}).check()

    def check(self) -> "Limits":
        """Itself, if the limits fit each other and the machine; else Failure."""
        self._check_memory()
        self._check_cpu()
        for option, wanted, there in (
            ("--cpuset-cpus", self.cpuset_cpus, "/sys/devices/system/cpu/online"),
            ("--cpuset-mems", self.cpuset_mems, "/sys/devices/system/node/online"),
        ):
            if wanted is not None:
                _check_list(option, wanted, there)
        return self

    def _check_memory(self) -> None:
        for option, size in (
            ("-m", self.memory),
            ("--memory-reservation", self.memory_reservation),
        ):
            if size is not None and size < MINIMUM_MEMORY:
                raise Invalid(
                    "Minimum memory limit allowed is 6MB",
                    f"{option} {size_text(size)}: write 6m or more",
                )
        memory, swap = self.memory, self.memory_swap
        if swap is not None and swap != UNLIMITED:
            if memory is None:
                raise Invalid(
                    "--memory-swap without -m",
                    "It is the sum of memory and swap: say with -m how much of it is memory",
                )
            if swap < memory:
                raise Invalid(
                    f"--memory-swap {size_text(swap)} is less than -m {size_text(memory)}",
                    "It is the sum of memory and swap, so at least as much as -m; -1: no limit",
                )
        reservation = self.memory_reservation
        if memory is not None and reservation is not None and reservation > memory:
            raise Invalid(
                f"--memory-reservation {size_text(reservation)} is more than the limit, "
                f"-m {size_text(memory)}",
                "The reservation is what is left to the container when memory is short: "
                "less than its limit",
            )
        if self.oom_kill_disable and memory is None:
            raise Invalid(
                "--oom-kill-disable without -m",
                "A container without a limit that nothing may kill can bring the machine to a halt",
            )

    def _check_cpu(self) -> None:
        if self.cpus is None:
            return
        if self.cpu_period is not None or self.cpu_quota is not None:
            other = "Period" if self.cpu_period is not None else "Quota"
            raise Invalid(
                f"Conflicting options: Nano CPUs and CPU {other} cannot both be set",
                "They are two ways to say one thing: --cpus 0.5 is --cpu-period 100000 "
                "--cpu-quota 50000",
            )
        there = os.cpu_count() or 1
        if not 0.01 <= self.cpus <= there:
            raise Invalid(
                f"--cpus {self.cpus:g}: out of range", f"This machine allows 0.01 to {there}"
            )


# ---------------------------------------------------------------- one option's text


def memory(text: str) -> int | None:
    """``-m``: a size; 0 means no limit, as in Docker."""
    return parse_size(text) or None


def swap(text: str) -> int | None:
    """``--memory-swap``: a size, -1 for no limit; 0 means: the default, twice the memory."""
    return UNLIMITED if text.strip() == "-1" else parse_size(text) or None


def cpus(text: str) -> float | None:
    """``--cpus``: how many CPUs' time, as ``0.5`` or ``2``; 0 means no limit."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise Invalid(f"failed to parse {text} as a rational number", "Write it as 0.5, 1 or 1.5")
    return value or None


def whole(text: str, least: int, most: int, what: str, *, unlimited: bool = False) -> int | None:
    """A whole number from ``least`` to ``most``; 0: not set; -1: no limit, if ``unlimited``."""
    stripped = text.strip()
    if stripped == "-1" and unlimited:
        return UNLIMITED
    if not re.fullmatch(r"[+]?[0-9]{1,18}", stripped):
        why = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise Invalid(why, f"Write a number from {least} to {most}")
    value = int(stripped)
    if value and not least <= value <= most:
        raise Invalid(f"'{text}' is out of range for a {what}", f"It goes from {least} to {most}")
    return value or None


def number_list(text: str) -> str:
    """A list of CPUs or memory nodes as in cpuset(7): ``0-2,5``."""
    if not re.fullmatch(_CPU_LIST, text):
        raise Invalid(f"'{text}' is not a list of numbers", "Write it as 0, 0-2 or 0-2,5")
    numbers(text)
    return text


def numbers(text: str) -> frozenset[int]:
    """The numbers in a list such as ``0-2,5``. Raises Failure if a range runs backwards."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        # No machine has more CPUs than 8192 (NR_CPUS), and 0-99999999999 would fill our memory.
        low, high = decimal(first, (1 << 16) - 1), decimal(last or first, (1 << 16) - 1)
        if low is None or high is None or high < low:
            raise Invalid(
                f"'{short(part)}' is not a range of numbers", "Write the lower one first: 0-2"
            )
        found.update(range(low, high + 1))
    return frozenset(found)


def rate(text: str, *, is_bytes: bool) -> tuple[str, int]:
    """``/dev/sda:1mb``, or for operations ``/dev/sda:500``: the device's numbers and the rate."""
    path, _, amount = text.rpartition(":")
    form = "/dev/sda:1mb" if is_bytes else "/dev/sda:500"
    if not path or not path.startswith("/"):
        raise Invalid(f"'{text}' is not a device and a rate", f"Write it as {form}")
    if is_bytes:
        value = parse_size(amount)
    else:
        value = whole(amount, 1, (1 << 32) - 2, "number of operations per second") or 0
    if value == 0:
        raise Invalid(f"'{text}': a rate of 0 would stop the device", f"Write it as {form}")
    return device_number(path), value


def device_number(path: str) -> str:
    """``major:minor`` of the block device at ``path``."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: no path has a zero byte in it
        what = error.strerror if isinstance(error, OSError) else error
        raise Invalid(f"{path}: {what}", "lsblk lists the block devices") from None
    if not stat.S_ISBLK(status.st_mode):
        raise Invalid(f"{path} is not a block device", "lsblk lists the block devices")
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    if os.path.exists(f"/sys/dev/block/{number}/partition"):
        raise Invalid(
            f"{path} is a partition",
            "The kernel throttles whole disks only: name the disk that it is on",
        )
    return number


def device_rule(text: str) -> str:
    """A rule as v1's ``devices.allow`` takes it: ``c 1:11 rwm``, ``b *:* m``; ``a``: all."""
    normal = " ".join(text.split())
    if normal == "a":
        normal = "a *:* rwm"
    if not re.fullmatch(_DEVICE_RULE, normal):
        raise Invalid(
            f"'{text}' is not a device rule",
            "Write TYPE MAJOR:MINOR ACCESS: 'c 1:11 r', 'b 7:* rwm'; a for all devices",
        )
    return normal


def _check_list(option: str, wanted: str, there: str) -> None:
    try:
        with open(there) as file:
            online = file.read().strip()
    except OSError:
        return  # no /sys: the kernel will say what it thinks of the list
    missing = numbers(wanted) - numbers(online)
    if missing:
        raise Invalid(
            f"{option} {wanted}: this machine has no {min(missing)}", f"There are: {online}"
        )
