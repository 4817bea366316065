"""Inputs that nobody would think of, for a few seconds in every run of the suite.

``MYDOCKER_TEST_FUZZ_SECONDS=600 ./test fuzz -- -k dns`` goes on for ten minutes with each kind, and
``MYDOCKER_TEST_FUZZ_SEED`` begins where a failure said.
"""

import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import pytest

SECONDS = float(os.environ.get("MYDOCKER_TEST_FUZZ_SECONDS", "0.5"))
_SEED = os.environ.get("MYDOCKER_TEST_FUZZ_SEED", "")

T = TypeVar("T", str, bytes)

# What breaks readers, put in at any place
_WORDS = (
    "", " ", "\n", "\0", "\\", '"', "'", "`", "/", "..", ".", ":", "::", ",", "=", "-", "+", "_",
    "0", "-1", "00", "1e999", "nan", "inf", "0x1", "1_0", "9" * 30, "9" * 5000, "²", "\u0661", "é",
    "\u2028", "\x0b", "\x85", "\x1b[2J", "\udcff", "\U0001d7d9", "\u017f", "\u0130", "a" * 300,
    "{", "}", "[", "]", "(", ")", "[" * 2000, "{" * 2000, "(" * 2000, "null", "true", "%", "%s",
    "$", "*", "@", "#",
)  # fmt: skip


def fuzz(attempt: Callable[[random.Random], object]) -> int:
    """Call ``attempt`` with new chances until the time is over; how often that was."""
    seed = _SEED or os.urandom(6).hex()
    end, done = time.monotonic() + SECONDS, 0
    while not done or (time.monotonic() < end and not _SEED):
        name = seed if _SEED else f"{seed}-{done}"
        try:
            attempt(random.Random(name))
        except BaseException as error:
            error.add_note(f"round {done}: MYDOCKER_TEST_FUZZ_SEED={name}")
            raise
        done += 1
    print(f"{done} rounds")
    return done


def mutated(chance: random.Random, seeds: Sequence[T], words: Sequence[T] = ()) -> T:
    """One of the ``seeds`` with some pieces changed, left out, doubled, or put in."""
    text: Any = chance.choice(seeds)  # str and bytes have the same operators
    binary = isinstance(text, bytes)
    pool: list[Any] = [*words] or (
        [w.encode(errors="surrogateescape") for w in _WORDS] if binary else [*_WORDS]
    )
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        at = chance.randint(0, len(text))
        to = min(len(text), at + chance.choice((0, 0, 1, 1, 2, 5, 50)))
        other: Any = chance.choice(seeds)
        part = chance.randint(0, len(other))
        new = chance.choice(
            (
                text[:0],
                chance.choice(pool),
                chance.choice(pool),
                text[at:to] * 2,
                other[part : part + chance.randint(0, 20)],
                bytes([chance.randint(0, 255)])
                if binary
                else chr(chance.choice((1, 33, 127, 255))),
            )
        )
        text = text[:at] + new + text[to:]
    return cast(T, text)


def fails_only_so(
    call: Callable[[T], object], text: T, allowed: tuple[type[BaseException], ...]
) -> None:
    """Fails the test if ``call`` raises anything but what it promises."""
    try:
        call(text)
    except allowed as error:
        assert "\n" not in str(error), f"not one line, for {text!r:.300}: {error}"
    except BaseException as error:
        pytest.fail(f"{type(error).__name__}: {error!s:.200}, for {text!r:.300}")
