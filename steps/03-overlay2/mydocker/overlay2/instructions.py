"""Changes to an image's configuration, as ``--change`` takes them: single lines of a Dockerfile.

``CMD ["sh"]`` names a program and its arguments; ``CMD sh -x`` is a command line for ``/bin/sh
-c``. See "Dockerfile reference" in Docker's documentation.
"""

import json
import shlex
from collections.abc import Callable, Iterable

from mydocker.kernel.errors import Invalid
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import replace
from mydocker.overlay2 import healthcheck
from mydocker.overlay2.image import ImageConfig


def apply(config: ImageConfig, changes: Iterable[str]) -> ImageConfig:
    """The configuration after ``changes``, in their order. Raises Failure for what is no change."""
    for line in changes:
        word, _, rest = line.strip().partition(" ")
        change = _CHANGES.get(word.upper())
        if change is None:
            known = ", ".join(sorted(_CHANGES))
            raise Invalid(
                f"--change {line!r}: {word!r} is not a valid change command", f"Known: {known}"
            )
        if not rest.strip():
            raise Invalid(f"--change {line!r}: {word.upper()} needs an argument")
        try:
            config = change(config, rest.strip())
        except ValueError as error:
            raise Invalid(f"--change {line!r}: {error}") from None
    return config


def _command(text: str) -> tuple[str, ...]:
    if text.startswith("["):
        try:
            words = json.loads(text)
        except (ValueError, RecursionError):
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return tuple(words)
    return ("/bin/sh", "-c", text)


def _pairs(text: str) -> list[tuple[str, str]]:
    """``A=1 B="two words"``, or the old form ``A all that follows``."""
    words = shlex.split(text)
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise ValueError(f"{key} has no value; write {key}=VALUE")
        return [(key, value.strip())]
    pairs = [tuple(word.split("=", 1)) for word in words]
    for pair in pairs:
        if len(pair) != 2 or not pair[0]:
            raise ValueError("write KEY=VALUE, with quotes around a value that has spaces")
    return [(pair[0], pair[1]) for pair in pairs]


def _list(text: str) -> tuple[str, ...]:
    if text.startswith("["):
        try:
            words = json.loads(text)
        except RecursionError:
            raise ValueError("too many brackets") from None
        return tuple(str(word) for word in words)
    return tuple(text.split())


def _cmd(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, cmd=_command(text))


def _entrypoint(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, entrypoint=_command(text))


def _env(config: ImageConfig, text: str) -> ImageConfig:
    env = dict(setting.split("=", 1) for setting in config.env) | dict(_pairs(text))
    return replace(config, env=tuple(f"{key}={value}" for key, value in env.items()))


def _expose(config: ImageConfig, text: str) -> ImageConfig:
    ports = set(config.exposed_ports)
    for word in text.split():
        port, _, protocol = word.partition("/")
        known = (protocol or "tcp") in ("tcp", "udp", "sctp")
        if not decimal(port, 65535) or not known:
            raise ValueError(f"invalid containerPort: {word}; write 80, 80/tcp or 53/udp")
        ports.add(f"{port}/{protocol or 'tcp'}")
    return replace(config, exposed_ports=tuple(sorted(ports)))


def _healthcheck(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, healthcheck=healthcheck.instruction(text, _command))


def _label(config: ImageConfig, text: str) -> ImageConfig:
    labels = dict(config.labels) | dict(_pairs(text))
    return replace(config, labels=tuple(sorted(labels.items())))


def _on_build(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, on_build=(*config.on_build, text))


def _stop_signal(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, stop_signal=text)


def _user(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, user=text)


def _volume(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, volumes=tuple(sorted({*config.volumes, *_list(text)})))


def _workdir(config: ImageConfig, text: str) -> ImageConfig:
    if not text.startswith("/"):
        text = f"{config.working_dir or ''}/{text}"
    return replace(config, working_dir=text)


_CHANGES: dict[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
