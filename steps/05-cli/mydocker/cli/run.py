"""``mydocker run``: all parts of all steps around one command."""

from typing import Any

import click

from mydocker.cgroups.options import cgroups_options, cgroups_parts
from mydocker.cli.security_options import security_options
from mydocker.container.commandline import default_run, explain_option, finish
from mydocker.container.running import new_identifier
from mydocker.container.running import run as run_container
from mydocker.engine.security.assembly import confined
from mydocker.engine.security.settings import from_options
from mydocker.namespaces.options import clone_flags, namespace_parts, process_options
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


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--rm", is_flag=True, help="Remove the container when it ends.")
@cgroups_options
@overlay2_options
@name_option
@network_options
@process_options
@security_options
@explain_option
@click.argument("image", metavar="IMAGE")
@click.argument("command", nargs=-1)
def run(image: str, command: tuple[str, ...], **options: Any) -> None:
    """Run a command in a new container.

    Example: mydocker run --rm -it -m 100M --cpus 0.5 --hostname box busybox sh
    """
    identifier, root, run_directory = new_identifier(), options["root"], default_run()
    name = options["name"] or identifier[:12]
    flags = network_flags(options, container_flags(options))
    found = find_image(root, image)
    process = overlay2_process(options, found, command, options["hostname"] or identifier[:12])
    layers, *inside = overlay2_parts(options, root, identifier, found, keep=not options["rm"])
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
        *inside,
    ]
    parts = confined(parts, from_options(options), identifier)
    ended = run_container(
        process, clone_flags(flags), parts, run_directory=run_directory, identifier=identifier
    )
    finish(ended)
