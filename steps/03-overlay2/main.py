"""Step 03: a root directory of its own. Try it: sudo python3 main.py run busybox sh"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(3)

from typing import Any

import click

from mydocker.cgroups.options import cgroups_options, cgroups_parts
from mydocker.container.commandline import (
    LazyGroup,
    default_run,
    explain_option,
    finish,
    main,
)
from mydocker.container.running import new_identifier, run
from mydocker.namespaces.options import clone_flags, namespace_parts, process_options
from mydocker.overlay2.options import (
    container_flags,
    find_image,
    overlay2_options,
    overlay2_parts,
    overlay2_process,
)

group = LazyGroup(
    "main.py",
    help=__doc__,
    lazy={
        "diff": "mydocker.overlay2.commands:diff",
        "image": "mydocker.overlay2.image_commands:image",
        "images": "mydocker.overlay2.image_commands:images",
        "import": "mydocker.overlay2.image_commands:import_command",
        "layers": "mydocker.overlay2.commands:layers",
        "rmi": "mydocker.overlay2.image_commands:rmi",
        "tag": "mydocker.overlay2.image_commands:tag",
        "trace-file": "mydocker.overlay2.commands:trace_file",
    },
)


@group.command("run", context_settings={"allow_interspersed_args": False})
@cgroups_options
@overlay2_options
@process_options
@explain_option
@click.argument("name", metavar="IMAGE")
@click.argument("command", nargs=-1)
def run_command(name: str, command: tuple[str, ...], **options: Any) -> None:
    """Run COMMAND, or IMAGE's own, with the image as its root directory."""
    identifier, root = new_identifier(), options["root"]
    flags = container_flags(options)
    image = find_image(root, name)
    process = overlay2_process(options, image, command, options["hostname"] or identifier[:12])
    parts = [
        *cgroups_parts(options, identifier),
        *namespace_parts(options, flags, identifier),
        *overlay2_parts(options, root, identifier, image),
    ]
    run_directory = default_run()
    flags = clone_flags(flags)
    finish(run(process, flags, parts, run_directory=run_directory, identifier=identifier))


if __name__ == "__main__":
    main(group, "main.py")
