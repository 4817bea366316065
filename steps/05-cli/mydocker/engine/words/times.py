"""Moments and spans of time, as Docker writes and reads them.

Moments are text in RFC 3339 with nanoseconds, UTC: ``2026-01-31T12:00:00.123456789Z``. The zero of
Docker's (and Go's) clock stands for "never".
"""

import time

from mydocker.kernel.errors import Invalid
from mydocker.kernel.numbers import decimal

NEVER = "0001-01-01T00:00:00Z"


def now() -> str:
    """This moment."""
    return text(time.time_ns())


def text(nanoseconds: int) -> str:
    """The moment so many nanoseconds after the epoch."""
    seconds, rest = divmod(nanoseconds, 10**9)
    t = time.gmtime(seconds)
    day = f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}"
    return f"{day}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}.{rest:09}Z"


def number(moment: str) -> int:
    """Nanoseconds after the epoch of a moment that :func:`text` wrote; 0 for never.

    0 for any other text, too: it comes out of files, which may be damaged.
    """
    if moment == NEVER or not moment:
        return 0
    try:
        return _nanoseconds(moment)
    except ValueError:
        return 0


def _nanoseconds(moment: str) -> int:
    year, month, day = int(moment[:4]), int(moment[5:7]), int(moment[8:10])
    # Days since 1970 by arithmetic (Howard Hinnant's days_from_civil): strptime(3)'s Python half
    # costs a list of 500 containers as much as all the rest of it.
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    clock = int(moment[11:13]) * 3600 + int(moment[14:16]) * 60 + int(moment[17:19])
    fraction = moment[20:].rstrip("Z")
    return (days * 86400 + clock) * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)


def span(seconds: float) -> str:
    """How long, in words: ``Less than a second``, ``5 minutes``, ``About an hour``, ``2 weeks``.

    The words and their borders are those of docker/go-units, which ``docker ps`` uses.
    """
    whole = int(seconds)
    minutes, hours = whole // 60, round(seconds / 3600)
    choices = (
        (whole < 1, "Less than a second"),
        (whole == 1, "1 second"),
        (whole < 60, f"{whole} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 7 * 2, f"{hours // 24} days"),
        (hours < 24 * 30 * 2, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
    )
    return next((words for true, words in choices if true), f"{whole // 3600 // 24 // 365} years")


def duration(written: str) -> int:
    """Nanoseconds of a Go duration: ``1h30m``, ``10s``, ``1.5m``. Raises Invalid."""
    value = signed_duration(written)
    if value < 0:
        raise Invalid(f'invalid duration "{written}"', "It cannot be negative")
    return value


def signed_duration(written: str) -> int:
    """As :func:`duration`, also of ``-1s``: for whoever has a better word against it."""
    from mydocker.kernel.durations import parse_duration

    return parse_duration(written)


def moment(written: str) -> int:
    """Nanoseconds after the epoch of what a user writes for ``--since`` and ``--until``.

    A Unix time, a date with or without time and zone, or a duration before now. Raises Invalid.
    """
    import re
    from datetime import datetime

    if re.fullmatch(r"\d+(\.\d+)?", written):
        seconds, _, rest = written.partition(".")
        whole_seconds = decimal(seconds, 1 << 33)
        if whole_seconds is None:
            raise Invalid(f"invalid time {written[:50]!r}", "Write 2026-01-31T12:00:00Z")
        return whole_seconds * 10**9 + int(rest.ljust(9, "0")[:9] or 0)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}.*", written):
        whole, rest = written, "0"
        if found := re.fullmatch(r"(.*T\d{2}:\d{2}:\d{2})\.(\d+)(.*)", written):
            whole, rest = found[1] + found[3], found[2]
        try:
            when = datetime.fromisoformat(whole.replace("Z", "+00:00"))
        except ValueError:
            raise Invalid(f"invalid time {written!r}", "Write 2026-01-31T12:00:00Z") from None
        return int(when.timestamp()) * 10**9 + int(rest.ljust(9, "0")[:9])
    return time.time_ns() - duration(written)
