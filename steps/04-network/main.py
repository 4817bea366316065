"""Step 04: containers that reach each other. Try: sudo python3 main.py run -p 80:80 busybox sh"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(4)

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
from mydocker.namespaces.sharing import after_root
from mydocker.network.finding import find_shared, name_option
from mydocker.network.options import network_flags, network_options, network_parts
from mydocker.overlay2.layers import LayerStore
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
        "ladder": "mydocker.network.commands:ladder",
        "network": "mydocker.network.commands:network",
        "port": "mydocker.network.commands:port",
    },
)


@group.command("run", context_settings={"allow_interspersed_args": False})
@cgroups_options
@overlay2_options
@name_option
@network_options
@process_options
@explain_option
@click.argument("image", metavar="IMAGE")
@click.argument("command", nargs=-1)
def run_command(image: str, command: tuple[str, ...], **options: Any) -> None:
    """Run COMMAND, or IMAGE's own, in a container on a network."""
    identifier, root, run_directory = new_identifier(), options["root"], default_run()
    name = options["name"] or identifier[:12]
    flags = network_flags(options, container_flags(options))
    found = find_image(root, image)
    process = overlay2_process(options, found, command, options["hostname"] or identifier[:12])
    layers, inner_root, *inside = overlay2_parts(options, root, identifier, found)
    network = network_parts(
        options,
        identifier,
        name,
        root=root,
        run=run_directory,
        rootfs=LayerStore(root).layer(identifier).merged,
        find=find_shared(root, run_directory),
    )
    parts = [
        *cgroups_parts(options, identifier),
        *namespace_parts(options, flags, identifier),
        layers,
        *network,
        inner_root,
        *after_root(network),
        *inside,
    ]
    finish(
        run(
            process,
            clone_flags(flags),
            parts,
            run_directory=run_directory,
            identifier=identifier,
        )
    )


if __name__ == "__main__":
    main(group, "main.py")
