"""``mydocker exec``: a command in a container that runs."""

import os

import click

from mydocker.cli.completion import container_names
from mydocker.cli.keys import detach_keys_option
from mydocker.cli.store import containers
from mydocker.container.commandline import explain_option, finish
from mydocker.container.flags import command


@command("exec", context_settings={"allow_interspersed_args": False})
@click.option("-i", "--interactive", is_flag=True, help="Hand standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal of its own.")
@click.option("-d", "--detach", is_flag=True, help="Leave it running and return.")
@click.option("-e", "--env", multiple=True, metavar="KEY[=VALUE]", help="A variable for it.")
@click.option("--env-file", multiple=True, metavar="FILE", help="Variables, one a line.")
@click.option("-w", "--workdir", default="", metavar="PATH", help="Where it starts.")
@click.option("-u", "--user", default="", metavar="NAME[:GROUP]", help="Who runs it; or ids.")
@click.option("--privileged", is_flag=True, help="With all capabilities.")
@detach_keys_option
@explain_option
@click.argument("container", shell_complete=container_names)
@click.argument("command", nargs=-1, required=True, metavar="COMMAND [ARG...]")
def execute(
    container: str,
    command: tuple[str, ...],
    interactive: bool,
    tty: bool,
    detach: bool,
    detach_keys: str,
    env: tuple[str, ...],
    env_file: tuple[str, ...],
    workdir: str,
    user: str,
    privileged: bool,
) -> None:
    """Run a command in a running container.

    Example: mydocker exec -it web sh
    """
    from mydocker.cli.attaching import Attachment, Manner, check_input, parse_keys
    from mydocker.container.running import Ended
    from mydocker.engine.life.execution import (
        ExecConfig,
        execute,
        execute_attached,
        execute_detached,
    )
    from mydocker.overlay2.environment import given, read_env_file

    texts = [text for file in env_file for text in read_env_file(file)]
    term = ["TERM"] if tty and "TERM" in os.environ else []
    variables = tuple(given([*term, *texts, *env], os.environ))
    asked = ExecConfig(command, variables, workdir, user, interactive, tty, privileged)
    store = containers()
    if detach:
        execute_detached(store, container, asked)
        return
    check_input(interactive, tty)
    if not (interactive and tty):
        finish(execute(store, container, asked))
        return
    manner = Manner(True, True, parse_keys(detach_keys))
    ended = Attachment(execute_attached(store, container, asked), manner).run()
    if ended is None:
        click.echo("read escape sequence", err=True)
        return
    finish(Ended(ended.exit_code, ended.remarks))
