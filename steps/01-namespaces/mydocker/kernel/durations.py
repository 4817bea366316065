"""Spans of time as Go writes them, and so Docker: ``1h30m``, ``10s``, ``1.5s``."""

import re

from mydocker.kernel.errors import Invalid
from mydocker.kernel.sizes import short

SECOND = 10**9  # in nanoseconds, as all here
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": SECOND, "m": 60 * SECOND,
          "h": 3600 * SECOND}  # fmt: skip


def parse_duration(written: str) -> int:
    """Nanoseconds of ``1h30m``, ``10s``, ``1.5m``, ``-1s`` or ``0``. Raises Failure."""
    sign, rest = (-1, written[1:]) if written[:1] == "-" else (1, written)
    if rest == "0":
        return 0
    parts = re.findall(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)", rest)
    if not parts or "".join(n + unit for n, unit in parts) != rest:
        hint = "Write it as 10s, 5m or 1h30m"
        raise Invalid(f'invalid duration "{short(written)}"', hint)
    if sum(float(n) * _UNITS[unit] for n, unit in parts) >= 1 << 63:  # Go counts in an int64
        raise Invalid(f'invalid duration "{short(written)}"', "It is too long")
    return sign * sum(int(float(n) * _UNITS[unit]) for n, unit in parts)


def duration_text(nanoseconds: int) -> str:
    """As Go prints it: ``1m30s``, ``1.5s``, ``300ms``, ``0s``."""
    if 0 < nanoseconds < SECOND:
        unit = next(unit for unit in ("ms", "µs", "ns") if nanoseconds >= _UNITS[unit])
        return f"{_number(nanoseconds, _UNITS[unit])}{unit}"
    minutes, rest = divmod(nanoseconds, 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_number(rest, SECOND)}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _number(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(unit + rest)[1:].rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
