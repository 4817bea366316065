"""``mydocker run`` and ``create``: a new container of an image."""

import os
from typing import Any

import click

from mydocker.cli.attaching import Attachment, Manner, check_input, parse_keys
from mydocker.cli.keys import detach_keys_option
from mydocker.cli.options import configuration, container_options
from mydocker.cli.store import containers
from mydocker.container.commandline import explain_option, finish
from mydocker.container.flags import command
from mydocker.container.running import Ended
from mydocker.engine.life import creation, lifecycle
from mydocker.engine.records.config import Config
from mydocker.engine.records.store import Store
from mydocker.kernel.errors import Conflict, by_errno
from mydocker.namespaces.options import apply
from mydocker.overlay2.options import find_image

_RUN_OPTIONS = [
    click.option("-d", "--detach", is_flag=True, help="Print its id and leave it running."),
    detach_keys_option,
    click.option(
        "--sig-proxy/--no-sig-proxy", default=True, help="Hand signals on to it. Default: yes."
    ),
]


def _created(
    store: Store, image: str, command: tuple[str, ...], options: dict[str, Any], layer: bool
) -> Config:
    """Make the container. Raises Failure."""
    cidfile = options.get("cidfile")
    if cidfile and os.path.exists(cidfile):
        raise Conflict(
            f"container ID file found, make sure the other container isn't running or delete "
            f"{cidfile}"
        )
    asked = configuration(find_image(store.root, image), image, command, options)
    config = creation.create(store, asked, with_layer=layer)
    if cidfile:
        try:
            fd = os.open(cidfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            os.write(fd, config.id.encode())
            os.close(fd)
        except OSError as error:
            from mydocker.engine.life.removal import remove

            remove(store, config.id)
            raise by_errno(error.errno)(
                f"failed to create the container ID file: {cidfile}: {error.strerror}"
            ) from None
    return config


@command(context_settings={"allow_interspersed_args": False})
@container_options
@explain_option
@click.argument("image", metavar="IMAGE")
@click.argument("command", nargs=-1, metavar="[COMMAND] [ARG...]")
def create(image: str, command: tuple[str, ...], root: str, **options: Any) -> None:
    """Make a new container, and do not start it.

    Example: mydocker create --name web -p 8080:80 busybox httpd -f
    """
    config = _created(containers(root), image, command, options, True)
    click.echo(config.id)


@command(context_settings={"allow_interspersed_args": False})
@container_options
@(lambda command: apply(command, _RUN_OPTIONS))
@explain_option
@click.argument("image", metavar="IMAGE")
@click.argument("command", nargs=-1, metavar="[COMMAND] [ARG...]")
def run(image: str, command: tuple[str, ...], root: str, **options: Any) -> None:
    """Run a command in a new container.

    Example: mydocker run --rm -it -m 100M --cpus 0.5 --hostname box busybox sh
    """
    if not options["detach"]:
        check_input(options["interactive"], options["tty"])
    _run(containers(root), image, command, options)


def _run(store: Store, image: str, command: tuple[str, ...], options: dict[str, Any]) -> None:
    manner = Manner(
        options["interactive"],
        options["tty"],
        parse_keys(options["detach_keys"]),
        options["sig_proxy"],
    )
    if options["detach"]:
        config = _created(store, image, command, options, False)
        if socket := lifecycle.start(store, config.id):
            socket.close()
        click.echo(config.id)
        return
    config = _created(store, image, command, options, False)
    attach_from_start(store, config, manner)


def attach_from_start(store: Store, config: Config, manner: Manner) -> None:
    """Start a container, stay with it, and end with its exit code."""
    try:
        socket = lifecycle.start(store, config.id, types=manner.input, reads=True)
    except (KeyboardInterrupt, SystemExit):
        lifecycle.end(store, config.id)
        raise
    if socket is None:
        return
    ended = Attachment(socket, manner, lifecycle.attended(store, config.id)).run()
    if ended is not None:
        finish(Ended(ended.exit_code, ended.remarks))
