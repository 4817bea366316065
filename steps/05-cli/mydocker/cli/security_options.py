"""The command line of a container's confinement, in Docker's words."""

from collections.abc import Callable
from typing import Any

import click

from mydocker.namespaces.options import apply

Command = Callable[..., Any]

_OPTIONS = [
    click.option(
        "--privileged", is_flag=True, help="Take nothing from root: for trusted programs only."
    ),
    click.option(
        "--cap-add", multiple=True, metavar="NAME", help="A capability more, as NET_ADMIN; ALL."
    ),
    click.option(
        "--cap-drop", multiple=True, metavar="NAME", help="A capability less; ALL: keeps none."
    ),
    click.option(
        "--security-opt",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="no-new-privileges; seccomp=unconfined, seccomp=FILE (Docker's JSON).",
    ),
]


def security_options(command: Command) -> Command:
    """What the processes of a container may do: for ``run`` and ``create``."""
    return apply(command, _OPTIONS)
