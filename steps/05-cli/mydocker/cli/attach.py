"""``mydocker attach``: join a running container's terminal."""

import click

from mydocker.cli.completion import container_names
from mydocker.cli.keys import detach_keys_option
from mydocker.cli.store import containers
from mydocker.container.commandline import finish
from mydocker.container.flags import command


@command()
@click.option("--no-stdin", is_flag=True, help="Only watch.")
@detach_keys_option
@click.option(
    "--sig-proxy/--no-sig-proxy", default=True, help="Hand signals on to it. Default: yes."
)
@click.argument("container", shell_complete=container_names)
def attach(container: str, no_stdin: bool, detach_keys: str, sig_proxy: bool) -> None:
    """Join the input and output of a running container, several readers at once if you like.

    Leave it by Ctrl-P Ctrl-Q: it goes on.
    """
    from mydocker.cli.attaching import Attachment, Manner, check_input, greet, parse_keys
    from mydocker.container.running import Ended
    from mydocker.engine import connection
    from mydocker.engine.life import lifecycle
    from mydocker.kernel.errors import Conflict

    store = containers()
    identifier = lifecycle.attachable(store, container)
    config = store.config(identifier)
    types = config.process.input and not no_stdin
    manner = Manner(types, config.process.terminal, parse_keys(detach_keys), sig_proxy)
    check_input(types, config.process.terminal)
    socket = connection.connect(store, identifier)
    if socket is None:
        raise Conflict("You cannot attach to a stopped container, start it first")
    greet(socket, manner)
    ended = Attachment(socket, manner, lifecycle.attended(store, identifier)).run()
    if ended is None:
        click.echo("read escape sequence", err=True)
        return
    finish(Ended(ended.exit_code, ended.remarks))
