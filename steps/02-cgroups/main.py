"""Step 02: namespaces and limits. Try it: sudo python3 main.py run -m 50M --pids-limit 20 sh"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(2)

from typing import Any

import click

from mydocker.cgroups.options import cgroups_options, limits_from
from mydocker.cgroups.part import limit_parts
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

_COMMANDS = "attach create freeze get hierarchies kill remove set stats subsystems thaw tree"

group = LazyGroup(
    "main.py",
    help=__doc__,
    lazy={name: f"mydocker.cgroups.commands:{name}_command" for name in _COMMANDS.split()},
)


@group.command("run", context_settings={"allow_interspersed_args": False})
@namespace_options
@cgroups_options
@process_options
@explain_option
@click.argument("command", nargs=-1, required=True)
def run_command(command: tuple[str, ...], **options: Any) -> None:
    """Run COMMAND in new namespaces, with limits."""
    identifier, asked = new_identifier(), namespaces_from(options)
    limits = limits_from(options)
    process = process_from_here(options, command)
    parts = in_order(
        [
            *limit_parts(limits, identifier, options["cgroup_parent"]),
            *namespace_parts(asked, identifier),
            *proc_parts(asked),
        ]
    )
    flags, directory = asked.clone_flags, default_run()
    finish(run(process, flags, parts, run_directory=directory, identifier=identifier))


if __name__ == "__main__":
    main(group, "main.py")
