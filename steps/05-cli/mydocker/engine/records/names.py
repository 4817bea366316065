"""A name for a container that was given none: an adjective and a person of science."""

import os
from collections.abc import Sequence

from mydocker.kernel.errors import Invalid

_ADJECTIVES = """
able amber ample apt bold brave breezy bright brisk busy calm candid careful cheerful clear
clever cosy crisp curious daring deft earnest eager easy fair fast fine fluent fond frank fresh
gentle glad golden grand happy hardy honest humble jolly keen kind lively loyal lucid lucky
mellow merry mild modest neat nimble noble patient plain polite proud quick quiet rapid ready
robust serene sharp shining silent sincere smart snug sober solid steady sunny swift tender
thrifty tidy tranquil trusty upbeat vivid warm wise witty zesty
"""
_SURNAMES = """
abel agnesi ampere archimedes aryabhata avogadro babbage banach bernoulli bohr boole born
brahmagupta cantor carson cauchy cori curie dalton darwin descartes dijkstra dirac einstein
euclid euler faraday fermat fermi feynman fibonacci fourier franklin galilei galois gauss
germain goedel hamilton hertz hilbert hodgkin hopper hubble humboldt huygens hypatia jacobi
joule kepler khayyam kovalevskaya lagrange lamarr laplace leavitt leibniz linnaeus lovelace
maxwell mayer meitner mendel mendeleev mirzakhani napier newton noether ohm pascal pasteur
planck poincare ptolemy ramanujan riemann ritchie rutherford sagan shannon somerville tesla
thompson torricelli turing volta watt wiles wing wu yalow
"""
_DIGITS = "0123456789"
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_ALLOWED = _FIRST | frozenset("_.-")


def propose(attempt: int = 0) -> str:
    """A name; with a digit after some attempts that met a name in use."""
    name = f"{_one(_ADJECTIVES.split())}_{_one(_SURNAMES.split())}"
    return f"{name}{_one(_DIGITS)}" if attempt > 2 else name


def _one(words: Sequence[str]) -> str:
    """Any of them. Not by ``random``, which costs a start 3 ms."""
    return words[int.from_bytes(os.urandom(4), "little") % len(words)]


def check(name: str) -> str:
    """``name`` without a leading slash. Raises Invalid for what cannot be one."""
    bare = name.removeprefix("/")
    if len(bare) < 2 or bare[0] not in _FIRST or not set(bare) <= _ALLOWED or len(bare) > 200:
        raise Invalid(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return bare
