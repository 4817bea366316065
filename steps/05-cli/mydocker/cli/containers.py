"""Commands that change containers: start, stop, kill, restart, pause, wait, rm, rename, update."""

from typing import Any

import click

from mydocker.cli.completion import container_names
from mydocker.cli.keys import detach_keys_option
from mydocker.cli.pruning import agreed, prune_options, report, report_space
from mydocker.cli.store import containers, for_each
from mydocker.container.commandline import explain_option, one_failed
from mydocker.container.flags import Option, command

_SEVERAL = click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="CONTAINER [CONTAINER...]",
    shell_complete=container_names,
)
_TIME = click.option("-t", "--timeout", "timeout", type=int, metavar="SECONDS", cls=Option,
                     outdated=["--time"],
                     help="Seconds to wait before killing it; -1: for ever.")  # fmt: skip


@command()
@click.option("-a", "--attach", is_flag=True, help="Stay with it, and end as it ends.")
@click.option("-i", "--interactive", is_flag=True, help="Hand standard input on.")
@detach_keys_option
@explain_option
@_SEVERAL
def start(names: tuple[str, ...], attach: bool, interactive: bool, detach_keys: str) -> int:
    """Start containers that were stopped, or only created."""
    from mydocker.engine.life import lifecycle

    store = containers()
    if attach or interactive:
        from mydocker.cli.attaching import Manner, check_input, parse_keys
        from mydocker.cli.run import attach_from_start
        from mydocker.kernel.errors import Invalid

        if len(names) > 1:
            raise Invalid("you cannot start and attach multiple containers at once")
        config = store.config(store.find(names[0]))
        types = interactive and config.process.input
        check_input(types, config.process.terminal)
        attach_from_start(
            store, config, Manner(types, config.process.terminal, parse_keys(detach_keys))
        )
        return 0

    def one(name: str) -> None:
        if socket := lifecycle.start(store, store.find(name)):
            socket.close()

    return for_each(names, one)


@command()
@_TIME
@click.option("-s", "--signal", "written", metavar="SIGNAL", help="Instead of its stop signal.")
@explain_option
@_SEVERAL
def stop(names: tuple[str, ...], timeout: int | None, written: str | None) -> int:
    """Stop containers: the stop signal, and SIGKILL after a grace period."""
    from mydocker.engine.life import lifecycle
    from mydocker.engine.life.creation import signal_number

    number = signal_number(written) if written else None
    store = containers()
    return for_each(names, lambda name: lifecycle.stop(store, name, timeout, number))


@command()
@click.option("-s", "--signal", "written", default="KILL", metavar="SIGNAL", help="Not SIGKILL.")
@explain_option
@_SEVERAL
def kill(names: tuple[str, ...], written: str) -> int:
    """Kill containers, or send them another signal."""
    from mydocker.engine.life import lifecycle
    from mydocker.engine.life.creation import signal_number

    number, store = signal_number(written), containers()
    return for_each(names, lambda name: lifecycle.kill(store, name, number))


@command()
@_TIME
@explain_option
@_SEVERAL
def restart(names: tuple[str, ...], timeout: int | None) -> int:
    """Stop containers and start them again."""
    from mydocker.engine.life import lifecycle

    store = containers()
    return for_each(names, lambda name: lifecycle.restart(store, name, timeout))


@command()
@explain_option
@_SEVERAL
def pause(names: tuple[str, ...]) -> int:
    """Freeze all processes of containers where they are."""
    from mydocker.engine.life import lifecycle

    store = containers()
    return for_each(names, lambda name: lifecycle.pause(store, name))


@command()
@explain_option
@_SEVERAL
def unpause(names: tuple[str, ...]) -> int:
    """Let the processes of paused containers go on."""
    from mydocker.engine.life import lifecycle

    store = containers()
    return for_each(names, lambda name: lifecycle.unpause(store, name))


@command()
@_SEVERAL
def wait(names: tuple[str, ...]) -> int:
    """Wait until containers have ended; prints their exit codes."""
    from mydocker.engine.life import lifecycle
    from mydocker.kernel.errors import Failure

    store, code = containers(), 0
    for name in names:
        try:
            click.echo(lifecycle.wait(store, name))
        except Failure as failure:
            code = one_failed(failure)
    return code


@command()
@click.option("-f", "--force", is_flag=True, help="Kill it first, if it runs.")
@click.option("-v", "--volumes", is_flag=True, help="Its anonymous volumes too.")
@explain_option
@_SEVERAL
def rm(names: tuple[str, ...], force: bool, volumes: bool) -> int:
    """Remove containers."""
    from mydocker.engine.life.removal import remove

    store = containers()
    # As in Docker: who forces it wants it gone, and it is.
    return for_each(
        names, lambda name: remove(store, name, force=force, volumes=volumes), or_gone=force
    )


@command()
@prune_options("until=24h: made before then; label=KEY[=VALUE], label!=.")
@explain_option
def prune(force: bool, written: tuple[str, ...]) -> None:
    """Remove all containers that do not run."""
    from mydocker.engine.life import removal
    from mydocker.engine.words import filters

    chosen = filters.parse(written, filters.PRUNING)
    if not agreed("This will remove all stopped containers.", force):
        return
    removed, space = removal.prune(containers(), chosen)
    report("Containers", removed)
    report_space(space)


@command()
@click.argument("container", shell_complete=container_names)
@click.argument("name", metavar="NEW_NAME")
@explain_option
def rename(container: str, name: str) -> None:
    """Give a container another name."""
    from mydocker.engine.life import lifecycle

    lifecycle.rename(containers(), container, name)


def _update() -> click.Command:
    from mydocker.cgroups.options import changeable_options, told

    @command()
    @changeable_options
    @click.option("--restart", "policy", metavar="POLICY", help="A new restart policy.")
    @explain_option
    @_SEVERAL
    def update(names: tuple[str, ...], policy: str | None, **limits: Any) -> int:
        """Change the limits and the restart policy of containers, while they run too."""
        from mydocker.engine.life import lifecycle
        from mydocker.engine.life.creation import parse_restart

        restart = parse_restart(policy) if policy else None
        store, asked = containers(), told(limits)
        return for_each(names, lambda name: lifecycle.update(store, name, asked, restart))

    return update


def __getattr__(name: str) -> click.Command:
    """``update`` is made when it is asked for: its options cost imports that others do not need."""
    if name == "update":
        return _update()
    raise AttributeError(name)
