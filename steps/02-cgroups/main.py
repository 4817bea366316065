"""Step 02: namespaces and limits. Try it: sudo python3 main.py run -m 50M --pids-limit 20 sh"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(2)

from typing import Any

import click

from mydocker.cgroups.options import cgroups_options, cgroups_parts
from mydocker.container.commandline import LazyGroup, default_run, explain_option, finish, main
from mydocker.container.running import new_identifier, run
from mydocker.namespaces.options import (
    clone_flags,
    namespace_flags,
    namespace_options,
    namespace_parts,
    proc_parts,
    process_from_here,
    process_options,
)

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
    identifier = new_identifier()
    flags = namespace_flags(options)
    parts = [
        *cgroups_parts(options, identifier),
        *namespace_parts(options, flags, identifier),
        *proc_parts(flags),
    ]
    process = process_from_here(options, command)
    run_directory = default_run()
    flags = clone_flags(flags)
    finish(run(process, flags, parts, run_directory=run_directory, identifier=identifier))


if __name__ == "__main__":
    main(group, "main.py")
