"""Sizes as people write them, ``300M``, and as they read them, ``1.5 GiB``; units of 1024."""

import re

from mydocker.kernel.errors import Invalid

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
# Compiled when it is used: most runs have no size in them.
_SIZE = r"([0-9]+(?:\.[0-9]+)?)\s?(?:([kmgtKMGT])(?:[iI]?[bB])?|[bB])?"
_SHOWN = 50  # characters of a text that is refused


def parse_size(text: str) -> int:
    """A size as Docker writes it: ``300M``, ``1g``, ``1.5GiB``, ``65536``. Raises Failure."""
    match = re.fullmatch(_SIZE, text.strip())
    if match is None:
        raise Invalid(
            f"invalid size: '{short(text)}'",
            "Write bytes, or a number with b, k, m, g or t: 65536, 512k, 300M, 1.5g",
        )
    bytes_ = float(match[1]) * _UNITS[(match[2] or "").lower()]
    # The kernel counts pages in a signed 64-bit number of bytes, and takes less as "no limit".
    if bytes_ >= 1 << 63:  # or infinite, which no int can be
        raise Invalid(f"'{short(text)}' is too large", "The largest size is 8388607t")
    return int(bytes_)


def short(text: str) -> str:
    """Enough of it to be recognized."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def size_text(bytes_: int) -> str:
    """A size to read: ``100 MiB``, ``1.5 GiB``, ``4 KiB``."""
    value, unit = float(bytes_), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.4g} {unit}"
