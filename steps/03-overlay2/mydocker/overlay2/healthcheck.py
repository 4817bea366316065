"""How one asks a container whether it is well: what an image says of that, and what ``run`` says.

The test is a command that is run in the container now and then. It ends with 0: well; with
anything else, or not in time: not well. See HEALTHCHECK in Docker's "Dockerfile reference".
"""

from typing import Any

from mydocker.kernel.errors import Failure, Invalid
from mydocker.kernel.records import record, replace

Json = dict[str, Any]

_MILLISECOND, _SECOND = 10**6, 10**9  # in nanoseconds, as all times here
INTERVAL, TIMEOUT, START_INTERVAL = 30 * _SECOND, 30 * _SECOND, 5 * _SECOND
RETRIES = 3
_NAMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
    "retries": "Retries",
}


@record
class Healthcheck:
    """Docker's object ``Healthcheck``. 0 in any field: it is not said.

    ``test``: ``("CMD", program, argument…)``, ``("CMD-SHELL", command line)``, ``("NONE",)`` for no
    test at all, or empty: that of the image. Times are in nanoseconds. In the ``start_period``
    tests come each ``start_interval`` until one succeeds, and those that fail do not count.
    """

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command to be run; empty if there is none to run."""
        if self.test[:1] == ("CMD",):
            return self.test[1:]
        if self.test[:1] == ("CMD-SHELL",) and len(self.test) > 1:
            return ("/bin/sh", "-c", self.test[1])
        return ()

    def over(self, image: "Healthcheck | None") -> "Healthcheck":
        """With what the image says for all that is not said here."""
        if image is None:
            return self
        names = ("test", *_NAMES)
        return Healthcheck(*(getattr(self, name) or getattr(image, name) for name in names))

    def check(self) -> None:
        """Raises Failure for what no container can have."""
        for name, shown in _NAMES.items():
            value = getattr(self, name)
            if name == "retries":
                if value < 0:
                    raise Invalid("Retries in Healthcheck cannot be negative")
            elif value < _MILLISECOND and value != 0:
                raise Invalid(f"{shown} in Healthcheck cannot be less than 1ms")

    def with_defaults(self) -> "Healthcheck":
        """With a value for all that nobody has said."""
        return replace(
            self,
            interval=self.interval or INTERVAL,
            timeout=self.timeout or TIMEOUT,
            start_interval=self.start_interval or START_INTERVAL,
            retries=self.retries or RETRIES,
        )

    @classmethod
    def from_json(cls, value: Any) -> "Healthcheck | None":
        """From an image's configuration; None for null, and for what is no such object."""
        if not isinstance(value, dict):
            return None
        test = value.get("Test")
        words = test if isinstance(test, list) else []
        numbers = (value.get(shown) for shown in _NAMES.values())
        return cls(
            tuple(word for word in words if isinstance(word, str)),
            *(one if isinstance(one, int) and one > 0 else 0 for one in numbers),
        )

    def to_json(self) -> Json:
        """As Docker writes it; what is not said is left out."""
        value: Json = {"Test": list(self.test)}
        value |= {shown: getattr(self, name) for name, shown in _NAMES.items()}
        return {key: one for key, one in value.items() if one}


# ---------------------------------------------------------------- the line of a Dockerfile


def instruction(text: str, command: Any) -> Healthcheck:
    """What follows HEALTHCHECK: ``NONE``, or ``[--interval=30s …] CMD command``.

    ``command`` parses what follows CMD. Raises ValueError for all else.
    """
    told: dict[str, int] = {}
    word, rest = _first(text)
    while word.startswith("--"):
        name, value = _option(word)
        told[name] = value
        word, rest = _first(rest)
    kind = word.upper()
    if kind == "NONE":
        if rest or told:
            raise ValueError("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(("NONE",))
    if kind != "CMD":
        raise ValueError(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    if not rest:
        raise ValueError("Missing command after HEALTHCHECK CMD")
    words = command(rest)
    shell = words[:2] == ("/bin/sh", "-c") and not rest.startswith("[")
    return Healthcheck(("CMD-SHELL", words[2]) if shell else ("CMD", *words), **told)


def _first(text: str) -> tuple[str, str]:
    word, *rest = text.split(maxsplit=1) or [""]
    return word, rest[0] if rest else ""


def _option(word: str) -> tuple[str, int]:
    flag, _, text = word.partition("=")
    name = flag.removeprefix("--").replace("-", "_")
    if name not in _NAMES:
        raise ValueError(f"Unknown flag: {flag.removeprefix('--')}")
    if name == "retries":
        from mydocker.kernel.numbers import decimal

        count = decimal(text, (1 << 31) - 1)
        if count is None:
            raise ValueError(f"--retries must be a number, and not {text!r}")
        return name, count
    from mydocker.kernel.durations import parse_duration

    try:
        value = parse_duration(text)
    except Failure as failure:
        raise ValueError(failure.message) from None
    if value < _MILLISECOND and value != 0:
        raise ValueError(f'Interval "{flag[2:]}" cannot be less than 1ms')
    return name, value
