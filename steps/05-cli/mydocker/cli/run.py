"""``mydocker run`` and ``create``: a new container of an image."""

import os
from collections.abc import Callable
from typing import Any

import click

from mydocker.cgroups.options import cgroups_options
from mydocker.cli.security_options import security_options
from mydocker.cli.store import containers
from mydocker.container.commandline import explain_option, finish
from mydocker.container.running import Ended
from mydocker.engine import creation, lifecycle
from mydocker.engine.attaching import Attachment, Manner, check_input, parse_keys
from mydocker.engine.config import Config
from mydocker.engine.errors import Refused
from mydocker.engine.store import Store
from mydocker.kernel.errors import CANNOT_RUN, Failure
from mydocker.namespaces.options import apply, process_options
from mydocker.network.options import network_options
from mydocker.overlay2.options import find_image, overlay2_options

_OPTIONS = [
    click.option("--name", metavar="NAME", help="What it is called. Default: a random name."),
    click.option("--rm", is_flag=True, help="Remove the container when it ends."),
    click.option("--cidfile", metavar="FILE", help="Write the container's id to FILE."),
    click.option(
        "--restart",
        default="no",
        metavar="POLICY",
        help="no, always, unless-stopped, on-failure[:N]: when to start it again.",
    ),
    click.option("--stop-signal", metavar="SIGNAL", help="How stop asks it to end: SIGTERM."),
    click.option(
        "--stop-timeout",
        type=int,
        metavar="SECONDS",
        help="How long stop waits before it kills it. Default: 10.",
    ),
    click.option("-l", "--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="A label."),
    click.option("--label-file", multiple=True, metavar="FILE", help="Labels, one a line."),
    click.option(
        "--volumes-from",
        multiple=True,
        metavar="CONTAINER[:ro]",
        help="All volumes of another container, at the same places.",
    ),
    click.option("--shm-size", metavar="SIZE", help="Size of /dev/shm. Default: 64m."),
    click.option("--log-driver", metavar="DRIVER", help="json-file or none."),
    click.option(
        "--log-opt",
        "log_opts",
        multiple=True,
        metavar="KEY=VALUE",
        help="max-size=10m, max-file=3: size and number of log files. Default: 20m, 5.",
    ),
    click.option("--no-healthcheck", is_flag=True, hidden=True, expose_value=False),
]
_RUN_OPTIONS = [
    click.option("-d", "--detach", is_flag=True, help="Print its id and leave it running."),
    click.option("--detach-keys", default="ctrl-p,ctrl-q", metavar="KEYS", help="To leave it."),
    click.option(
        "--sig-proxy/--no-sig-proxy", default=True, help="Hand signals on to it. Default: yes."
    ),
]

Command = Callable[..., Any]


def container_options(command: Command) -> Command:
    """All options of all steps."""
    for options in (
        security_options,
        process_options,
        network_options,
        overlay2_options,
        cgroups_options,
    ):
        command = options(command)
    return apply(command, _OPTIONS)


def _created(
    store: Store, image: str, command: tuple[str, ...], options: dict[str, Any], layer: bool
) -> Config:
    """Make the container. Raises Failure, with Docker's exit code for what could not be run."""
    cidfile = options.get("cidfile")
    if cidfile and os.path.exists(cidfile):
        raise Failure(
            f"container ID file found, make sure the other container isn't running or delete "
            f"{cidfile}"
        )
    found = find_image(store.root, image)
    config = creation.create(store, found, image, command, options, with_layer=layer)
    if cidfile:
        try:
            fd = os.open(cidfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            os.write(fd, config.id.encode())
            os.close(fd)
        except OSError as error:
            from mydocker.engine.removal import remove

            remove(store, config.id)
            raise Failure(
                f"failed to create the container ID file: {cidfile}: {error.strerror}"
            ) from None
    return config


@click.command(context_settings={"allow_interspersed_args": False})
@container_options
@explain_option
@click.argument("image", metavar="IMAGE")
@click.argument("command", nargs=-1)
def create(image: str, command: tuple[str, ...], root: str, **options: Any) -> None:
    """Make a new container, and do not start it.

    Example: mydocker create --name web -p 8080:80 busybox httpd -f
    """
    config = _created(containers(root), image, command, options, True)
    click.echo(config.id)


@click.command(context_settings={"allow_interspersed_args": False})
@container_options
@(lambda command: apply(command, _RUN_OPTIONS))
@explain_option
@click.argument("image", metavar="IMAGE")
@click.argument("command", nargs=-1)
def run(image: str, command: tuple[str, ...], root: str, **options: Any) -> None:
    """Run a command in a new container.

    Example: mydocker run --rm -it -m 100M --cpus 0.5 --hostname box busybox sh
    """
    if not options["detach"]:
        check_input(options["interactive"], options["tty"])  # 1 and not 125, as Docker's client
    try:
        _run(containers(root), image, command, options)
    except Refused as refused:
        refused.exit_code = CANNOT_RUN
        raise


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
    ended = Attachment(socket, manner).run()
    if ended is not None:
        finish(Ended(ended.exit_code, ended.remarks))
