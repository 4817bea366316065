"""Docker's commands that are not here: each says where it is, or that there is none, in one line.

A tutorial that comes to ``docker pull`` is to hear what takes its place, and not only that there is
no such command.
"""

from typing import Any

import click

from mydocker.container.flags import Command
from mydocker.kernel.errors import Invalid

_PULL = "An image comes as an archive: 'mydocker load -i FILE', or 'mydocker import FILE NAME'"
_BUILD = "Meanwhile: run a container, change it, and 'mydocker commit' it"
_SWARM = "mydocker runs containers on one machine"

# What the command needs, and what to do instead
LATER = {
    **dict.fromkeys(("pull", "search"), ("a client of registries, which is part II's", _PULL)),
    "push": (
        "a client of registries, which is part II's",
        "An image goes as an archive: 'mydocker save -o FILE NAME'",
    ),
    **dict.fromkeys(
        ("login", "logout", "manifest", "trust"),
        ("a client of registries, which is part II's", _PULL),
    ),
    **dict.fromkeys(
        ("build", "builder", "buildx"), ("a reader of Dockerfiles, which is part II's", _BUILD)
    ),
    "compose": (
        "a reader of compose files, which is part II's",
        "Meanwhile: one 'mydocker run -d --name NAME --net NETWORK' for each service",
    ),
    "context": ("a daemon, which is part II's", "This command line is its own engine"),
    **dict.fromkeys(("config", "node", "secret", "service", "stack", "swarm"), ("a swarm", _SWARM)),
    "plugin": ("plugins, and takes none", "Drivers are built in: bridge, local, overlay2"),
    "checkpoint": ("CRIU, and does not use it", "'mydocker pause' stops a container in memory"),
}


class Elsewhere(Command):
    """One of :data:`LATER`: it takes any words, and does nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(
            name,
            params=[click.Argument(["words"], nargs=-1)],
            context_settings={"ignore_unknown_options": True},
            add_help_option=False,
            hidden=True,
        )

    def invoke(self, ctx: click.Context) -> Any:
        what, instead = LATER[ctx.command.name or ""]
        raise Invalid(f"{ctx.command_path} needs {what}", instead)
