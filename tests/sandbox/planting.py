"""``--seed TEXT``: the values that tests plant (names, ids, numbers) come from a seed.

Tests take them from ``secrets``. With a seed they are drawn anew for each test, from the seed and
the test's name: each student has other values, and the same seed gives the same values again.
"""

import random
import secrets
from collections.abc import Callable

import pytest


def plant(seed: str, test: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``secrets`` draw from ``seed`` during the test called ``test``."""
    source = random.Random(f"{seed}:{test}")

    def token_bytes(count: int | None = None) -> bytes:
        return source.randbytes(32 if count is None else count)

    replaced: dict[str, Callable[..., object]] = {
        "token_bytes": token_bytes,
        "token_hex": lambda count=None: token_bytes(count).hex(),
        "randbelow": source.randrange,
        "choice": source.choice,
    }
    for name, function in replaced.items():
        monkeypatch.setattr(secrets, name, function)
