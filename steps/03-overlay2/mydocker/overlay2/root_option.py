"""``--root``, for every command that works with images or layers."""

from collections.abc import Callable
from typing import Any

import click

from mydocker.container.commandline import default_root
from mydocker.container.private import close


def root_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--root DIRECTORY``: where images and layers are, by default MYDOCKER_ROOT."""
    option = click.option(
        "--root",
        default=default_root,
        metavar="DIRECTORY",
        callback=lambda context, parameter, value: close(value),
        help="Where images and layers are kept.",
    )
    return option(command)
