"""What the commands called ``prune`` have in common: the question before, and the words after."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from mydocker.kernel import signals

Command = Callable[..., Any]


def prune_options(filters: str) -> Callable[[Command], Command]:
    """``--force`` and ``--filter``, whose help names the ``filters``."""

    def add(command: Command) -> Command:
        command = click.option(
            "--filter", "written", multiple=True, metavar="KEY=VALUE", help=filters
        )(command)
        return click.option("-f", "--force", is_flag=True, help="Do not ask.")(command)

    return add


def agreed(warning: str, force: bool) -> bool:
    """Ask before something is lost; only y is a yes. On standard error, as the answer to a question
    is no part of what a script reads."""
    if force:
        return True
    click.echo(f"WARNING! {warning}", err=True)
    click.echo("Are you sure you want to continue? [y/N] ", nl=False, err=True)
    signals.ready(0)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def report(kind: str, lines: Iterable[str]) -> None:
    """What went, of one kind; nothing if nothing did."""
    if told := "\n".join(lines):
        click.echo(f"Deleted {kind}:\n{told}\n")


def report_space(space: int) -> None:
    """The last line: the bytes that are free again."""
    from mydocker.overlay2.image_list import size

    click.echo(f"Total reclaimed space: {size(space)}")
