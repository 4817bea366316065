"""Step 04: containers that reach each other. Try: sudo python3 main.py run -p 80:80 busybox sh"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(4)

from typing import Any

import click

from mydocker.cgroups.options import cgroups_options, limits_from
from mydocker.cgroups.part import limit_parts
from mydocker.container.commandline import LazyGroup, default_run, explain_option, finish, main
from mydocker.container.order import in_order
from mydocker.container.running import new_identifier, run
from mydocker.namespaces.options import process_options, shared_from
from mydocker.namespaces.sharing import sharing_parts
from mydocker.namespaces.specification import namespace_parts
from mydocker.network.finding import find_shared
from mydocker.network.options import name_option, network_options, networking_from
from mydocker.network.parts import network_parts
from mydocker.network.specification import with_network
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.options import (
    container_namespaces,
    find_image,
    overlay2_options,
    overlay2_process,
    rootfs_from,
)
from mydocker.overlay2.specification import root_parts

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
    identifier, root, directory = new_identifier(), options["root"], default_run()
    found, limits = find_image(root, image), limits_from(options)
    network = networking_from(options, found.config.exposed_ports)
    asked = with_network(shared_from(options, container_namespaces(options)), network)
    hostname, name = asked.name(identifier), options["name"] or identifier[:12]
    process = overlay2_process(options, found, command, hostname)
    find = find_shared(root, directory)
    rootfs = LayerStore(root).layer(identifier).merged
    layers = ImageStore(root).parents(found.id, found.diff_ids)
    parts = in_order(
        [
            *limit_parts(limits, identifier, options["cgroup_parent"]),
            *namespace_parts(asked, identifier),
            *sharing_parts(asked, find),
            *root_parts(rootfs_from(options, found.config), root, identifier, layers),
            *network_parts(
                network, identifier, name, hostname,
                root=root, run=directory, rootfs=rootfs, find=find,
            ),
        ]
    )  # fmt: skip
    flags = asked.clone_flags
    finish(run(process, flags, parts, run_directory=directory, identifier=identifier))


if __name__ == "__main__":
    main(group, "main.py")
