"""The command line of step 03: the image's root, volumes, user, directory and variables.

Command lines import this module, and nothing else does.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import click

from mydocker.container.process import Process
from mydocker.kernel.errors import Invalid
from mydocker.kernel.records import replace
from mydocker.namespaces.options import apply, content_options, contents_from, process_of
from mydocker.namespaces.specification import ALL, WITHOUT_USERS, Namespaces
from mydocker.overlay2 import volumes as forms
from mydocker.overlay2.environment import environment, given, read_env_file
from mydocker.overlay2.image import Image, ImageConfig
from mydocker.overlay2.images import ImageStore, NoSuchImage
from mydocker.overlay2.root_option import root_option
from mydocker.overlay2.specification import Rootfs

Command = Callable[..., Any]
Options = Mapping[str, Any]

_OPTIONS = [
    click.option(
        "--userns",
        type=click.Choice(["host", "private"]),
        default="host",
        help="private: a user namespace too, whose root has no power outside. Default: host.",
    ),
    click.option(
        "-v",
        "--volume",
        "volumes",
        multiple=True,
        metavar="HOST:PATH[:ro]",
        help="Show a directory or file of the host at PATH; made if missing.",
    ),
    click.option(
        "--mount",
        "mounts",
        multiple=True,
        metavar="KEY=VALUE,…",
        help="The same in full: type=bind|tmpfs,source=HOST,target=PATH[,readonly].",
    ),
    click.option(
        "--tmpfs",
        multiple=True,
        metavar="PATH[:OPTIONS]",
        help="An empty directory in memory at PATH; options as size=64m,mode=700,exec.",
    ),
    click.option("--read-only", is_flag=True, help="The image's files cannot be written."),
    click.option("-w", "--workdir", default="", metavar="PATH", help="Where the command starts."),
    click.option("-u", "--user", default="", metavar="NAME[:GROUP]", help="Who runs it; or ids."),
    click.option(
        "-e",
        "--env",
        multiple=True,
        metavar="KEY[=VALUE]",
        help="An environment variable; without =VALUE, yours.",
    ),
    click.option("--env-file", multiple=True, metavar="FILE", help="Variables, one a line."),
    click.option(
        "--entrypoint", default=None, metavar="COMMAND", help="In place of the image's entrypoint."
    ),
    click.option(
        "--storage-opt",
        multiple=True,
        metavar="size=BYTES",
        help="How much it may write; on xfs and ext4 mounted with prjquota.",
    ),
]


def overlay2_options(command: Command) -> Command:
    """What is in the container's root, and how the command finds itself in it: for ``run``."""
    return apply(root_option(content_options(command)), _OPTIONS)


def container_namespaces(options: Options) -> Namespaces:
    """The namespaces of a container: all kinds, of users only with ``--userns`` or a map.

    Docker's choice too: with a user namespace no device can be made in the container, and files of
    the image may belong to nobody.
    """
    private = options["userns"] == "private" or options["uid_map"] or options["gid_map"]
    return contents_from(options, ALL if private else WITHOUT_USERS)


def find_image(root: str, name: str) -> Image:
    """The image called ``name``; an embedded one is made at its first use. Raises NoSuchImage."""
    store = ImageStore(root)
    try:
        return store.resolve(name)
    except NoSuchImage:
        from mydocker.overlay2.base import resolve_or_make

        return resolve_or_make(store, name, lambda line: click.echo(line, err=True))


def rootfs_from(options: Options, image: ImageConfig) -> Rootfs:
    """What the options, and where they say nothing the image, ask of the root directory.

    Raises Failure for what cannot be.
    """
    found = [forms.parse_volume(text) for text in options["volumes"]]
    found += [forms.parse_mount(text) for text in options["mounts"]]
    found += [forms.parse_tmpfs(text) for text in options["tmpfs"]]
    return Rootfs(
        forms.ordered(found),
        options["read_only"],
        size_limit(options),
        _directory(options, image),
        options["user"] or image.user,
    )


def size_limit(options: Options) -> int:
    """The bytes of ``--storage-opt size=``; 0 without it. Raises Failure."""
    if not options.get("storage_opt"):
        return 0
    from mydocker.overlay2.size_limit import parse

    return parse(options["storage_opt"])


def overlay2_process(
    options: Options, image: Image, command: tuple[str, ...], hostname: str
) -> Process:
    """What runs in the container: ``command`` or the image's own, with its variables."""
    config = image.config
    variables = environment(config.env, hostname, given_environment(options))
    process = process_of(options, _arguments(options, config, command), variables)
    return replace(process, directory=_directory(options, config))


def given_environment(options: Options) -> list[str]:
    """What ``--env-file`` and ``-e`` say, each variable once: ``KEY=VALUE``, where ``-e KEY`` has
    our own value; ``KEY`` if we have none either, and neither shall the container. Raises Failure.
    """
    texts = [text for file in options["env_file"] for text in read_env_file(file)]
    return given([*texts, *options["env"]], os.environ)


def _arguments(options: Options, config: ImageConfig, command: tuple[str, ...]) -> tuple[str, ...]:
    """Entrypoint, then command; a new entrypoint drops the image's own command (Docker's rule)."""
    if options["entrypoint"] is not None:
        own = (options["entrypoint"],) if options["entrypoint"] else ()
        arguments = (*own, *command)
    else:
        arguments = (*config.entrypoint, *(command or config.cmd))
    if not arguments:
        raise Invalid("no command specified", "The image names none: write one after its name")
    return arguments


def _directory(options: Options, config: ImageConfig) -> str:
    return options["workdir"] or "/" + config.working_dir.lstrip("/")
