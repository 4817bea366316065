"""Step 01: a process with namespaces of its own. Try it: sudo python3 main.py run sh"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(1)

from typing import Any

import click

from mydocker.container.commandline import LazyGroup, default_run, explain_option, finish, main
from mydocker.container.order import in_order
from mydocker.container.running import new_identifier, run
from mydocker.namespaces.options import (
    namespace_options,
    namespaces_from,
    process_from_here,
    process_options,
)
from mydocker.namespaces.specification import namespace_parts, proc_parts

group = LazyGroup(
    "main.py",
    help=__doc__,
    lazy={
        "list": "mydocker.namespaces.commands:list_namespaces",
        "inspect": "mydocker.namespaces.commands:inspect",
        "enter": "mydocker.namespaces.commands:enter",
    },
)


@group.command("run", context_settings={"allow_interspersed_args": False})
@namespace_options
@process_options
@explain_option
@click.argument("command", nargs=-1, required=True)
def run_command(command: tuple[str, ...], **options: Any) -> None:
    """Run COMMAND in new namespaces: those that are named, or all of them."""
    identifier, asked = new_identifier(), namespaces_from(options)
    process = process_from_here(options, command)
    parts = in_order([*namespace_parts(asked, identifier), *proc_parts(asked)])
    finish(run(process, asked.clone_flags, parts, run_directory=default_run()))


if __name__ == "__main__":
    main(group, "main.py")
