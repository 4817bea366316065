"""The variables that the command finds: environ(7), ``-e`` and ``--env-file``."""

import os
from collections.abc import Iterable, Mapping

from mydocker.kernel.errors import Invalid

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def given(texts: Iterable[str], host: Mapping[str, str]) -> list[str]:
    """The texts of ``-e``, each variable once, the last of several: ``KEY=VALUE``.

    ``KEY`` gets the value that ``host``, the environment of whoever asks, has; without one there it
    stays ``KEY``: the container is to have none. Raises Failure for a text without a key.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, _ = _pair(text)
        known = "=" not in text and key in host
        found[key] = f"{key}={host[key]}" if known else text
    return list(found.values())


def environment(image: Iterable[str], hostname: str, given: Iterable[str]) -> dict[str, str]:
    """All variables: the defaults, over them the image's (``KEY=VALUE``), over them ``given``.

    ``given`` are texts as of :func:`given`: ``KEY`` alone takes the variable away. Raises Failure
    for a text without a key.
    """
    variables = {"PATH": PATH}
    if hostname:
        variables["HOSTNAME"] = hostname
    variables.update(_pair(text) for text in image if "=" in text)
    for text in given:
        key, value = _pair(text)
        if "=" in text:
            variables[key] = value
        else:
            variables.pop(key, None)
    return variables


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key or "\0" in text:
        raise Invalid(f"-e {text}: no name of a variable", "Write -e KEY=VALUE, or -e KEY")
    return key, value


def read_env_file(path: str) -> list[str]:
    """The texts for ``-e`` that a file holds, one a line; ``#`` begins a comment line.

    Raises Failure if it cannot be read, or a line has a name with a space in it.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:  # Windows' editors begin with a mark
            lines = [line.rstrip("\r\n").lstrip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        said = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not UTF-8 text"
        raise Invalid(f"--env-file {path}: {said}") from None
    texts = [line for line in lines if line and not line.startswith("#")]
    for text in texts:
        key = text.partition("=")[0]
        if not key or any(space in key for space in " \t"):
            hint = "Each line is KEY=VALUE or KEY, without export and without quotes"
            raise Invalid(f"--env-file {path}: {text!r} has no name of a variable", hint)
    return texts
