"""Step 03: a root directory of its own. Try it: sudo python3 main.py run busybox sh"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(3)

from typing import Any

import click

from mydocker.cgroups.options import cgroups_options, limits_from
from mydocker.cgroups.part import limit_parts
from mydocker.container.commandline import LazyGroup, default_run, explain_option, finish, main
from mydocker.container.order import in_order
from mydocker.container.running import new_identifier, run
from mydocker.namespaces.options import process_options
from mydocker.namespaces.specification import namespace_parts
from mydocker.overlay2.images import ImageStore
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
    asked, limits = container_namespaces(options), limits_from(options)
    image = find_image(root, name)
    process = overlay2_process(options, image, command, asked.name(identifier))
    layers = ImageStore(root).parents(image.id, image.diff_ids)
    parts = in_order(
        [
            *limit_parts(limits, identifier, options["cgroup_parent"]),
            *namespace_parts(asked, identifier),
            *root_parts(rootfs_from(options, image.config), root, identifier, layers),
        ]
    )
    flags, directory = asked.clone_flags, default_run()
    finish(run(process, flags, parts, run_directory=directory, identifier=identifier))


if __name__ == "__main__":
    main(group, "main.py")
