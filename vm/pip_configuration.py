"""Which of the host's files pip needs in order to work in the chroot as it does outside.

pip reads its settings from a handful of standard files and from PIP_* variables; they may name
local folders (find-links, an index as file://) and certificates. All of them are bind-mounted
into the chroot for the time of the set-up, so that nothing of them stays in the image.
https://pip.pypa.io/en/stable/topics/configuration/
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

PASSED_ON = ("PIP_", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY",
             "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # fmt: skip
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # with the authorities this host trusts


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that decide how pip reaches its packages."""
    return {name: value for name, value in variables.items() if name.startswith(PASSED_ON)}


def files(variables: Mapping[str, str]) -> list[str]:
    """The configuration files that exist."""
    home = variables.get("HOME", "/root")
    folders = variables.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
    candidates = [
        "/etc/pip.conf",
        *(f"{folder}/pip/pip.conf" for folder in folders),
        f"{home}/.pip/pip.conf",
        f"{variables.get('XDG_CONFIG_HOME', f'{home}/.config')}/pip/pip.conf",
        variables.get("PIP_CONFIG_FILE", ""),
    ]
    return [name for name in candidates if os.path.isfile(name)]


def settings(text: str) -> list[str]:
    """The values in a configuration file."""
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return [value for section in parser.sections() for _, value in parser.items(section)]


def local_paths(values: Iterable[str]) -> list[str]:
    """The absolute paths named in settings; of a file:// index also what lies beside it.

    The pages of a simple index link to packages in a neighbouring folder.
    """
    found = []
    for word in (word for value in values for word in value.split()):
        if word.startswith("file://"):
            word = str(Path(word.removeprefix("file://")).parent)
        if word.startswith("/") and word.rstrip("/"):
            found.append(os.path.normpath(word))
    return found


def to_bind(variables: Mapping[str, str]) -> list[str]:
    """Every existing path to bind into the chroot, without those that lie below another."""
    configuration = files(variables)
    values = [*environment(variables).values()]
    for name in configuration:
        values += settings(Path(name).read_text())
    wanted = {*configuration, *local_paths(values), CERTIFICATES}
    existing = sorted(path for path in wanted if os.path.exists(path))
    return [p for p in existing if not any(p.startswith(f"{other}/") for other in existing)]
