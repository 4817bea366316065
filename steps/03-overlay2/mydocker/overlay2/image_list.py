"""How listings write sizes, times and rows: as Docker does, so that eyes and scripts know them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mydocker.kernel.errors import Invalid, one_line

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: int) -> str:
    """Bytes in steps of 1000 with three digits: 4.26MB, 510MB."""
    value = float(count)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.3g}{unit}"


def since(moment: str) -> str:
    """How long ago it was, of a moment in RFC 3339; N/A if that is none."""
    from datetime import UTC, datetime

    try:
        return ago((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    except (ValueError, TypeError):
        return "N/A"


def created_at(moment: str) -> str:
    """A moment in RFC 3339 to the second, as Go prints a time; itself if it is none."""
    from datetime import UTC, datetime

    try:
        at = datetime.fromisoformat(moment).astimezone(UTC)
    except ValueError:
        return moment
    return f"{at:%Y-%m-%d %H:%M:%S} +0000 UTC"


def ago(seconds: float) -> str:
    """A time span as in "2 hours ago", in one unit."""
    if seconds < 1:
        return "Less than a second ago"
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 60:
        return _count(int(seconds), "second")
    if minutes < 2:
        return "About a minute ago"
    if minutes < 60:
        return _count(int(minutes), "minute")
    if round(hours) == 1:
        return "About an hour ago"
    if hours < 48:
        return _count(round(hours), "hour")
    if hours < 24 * 14:
        return _count(int(hours / 24), "day")
    if hours < 24 * 60:
        return _count(int(hours / 24 / 7), "week")
    if hours < 24 * 365 * 2:
        return _count(int(hours / 24 / 30), "month")
    return _count(int(hours / 24 / 365), "year")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'} ago"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the first a heading, in columns three spaces apart."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) + 3 for column in zip(*rows, strict=True)]
    lines = (
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


_FIELD = re.compile(r"\{\{\s*(json\s+)?\.([\w.]*)\s*\}\}")


def formatted(template: str, rows: Sequence[Mapping[str, Any]], headings: Mapping[str, str]) -> str:
    """One line per row, by ``--format``: ``json``, ``TEMPLATE`` or ``table TEMPLATE``.

    A template has ``{{.Field}}``, ``{{.Field.Inner}}`` and ``{{json .Field}}``, a small part of
    what Docker takes. Raises Failure for an unknown field, or for more than that.
    """
    if template == "json":
        template = "{{json .}}"
    template = template.replace("\\t", "\t").replace("\\n", "\n")
    if not template.startswith("table "):
        return "".join(f"{render(template, row)}\n" for row in rows)
    columns = template.removeprefix("table ").split("\t")
    heading = [_FIELD.sub(lambda m: headings.get(m[2], m[2].upper()), column) for column in columns]
    return table([heading, *([render(column, row) for column in columns] for row in rows)])


def render(template: str, value: Mapping[str, Any]) -> str:
    """The template with its fields filled in from ``value``."""

    def fill(match: re.Match[str]) -> str:
        found: Any = value
        for name in filter(None, match[2].split(".")):
            if not isinstance(found, Mapping) or name not in found:
                raise Invalid(f"--format: there is no field .{match[2]} here")
            found = found[name]
        if match[1]:
            return json.dumps(found)
        return found if isinstance(found, str) else _plain(found)

    text = _FIELD.sub(fill, template)
    if "{{" in text and "{{" in _FIELD.sub("", template):
        raise Invalid(f"--format {template!r}: not understood", "Write fields as {{.Name}}")
    return text


def _plain(value: Any) -> str:
    """As Go prints lists and maps: [a b], map[k:v]."""
    if isinstance(value, Mapping):
        inner = " ".join(f"{key}:{_plain(item)}" for key, item in sorted(value.items()))
        return f"map[{inner}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(_plain(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
