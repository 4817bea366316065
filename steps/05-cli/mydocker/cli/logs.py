"""``mydocker logs``: what a container wrote."""

import sys

import click

from mydocker.cli.completion import container_names
from mydocker.cli.store import containers
from mydocker.container.flags import command


@command()
@click.option("-f", "--follow", is_flag=True, help="Follow what it writes, until it ends.")
@click.option("-n", "--tail", default="all", metavar="N", help="Only the last N lines.")
@click.option("--since", metavar="TIME", help="Since then: a time, or 10m for ten minutes ago.")
@click.option("--until", metavar="TIME", help="Up to then.")
@click.option("-t", "--timestamps", is_flag=True, help="When each line was written.")
@click.option("--details", is_flag=True, hidden=True)
@click.argument("container", shell_complete=container_names)
def logs(
    container: str,
    follow: bool,
    tail: str,
    since: str | None,
    until: str | None,
    timestamps: bool,
    details: bool,
) -> None:
    """Show what a container wrote to its standard output and error.

    Example: mydocker logs -f --tail 20 --since 10m web
    """
    from mydocker.engine.looking import logs as reading
    from mydocker.engine.words.times import moment
    from mydocker.kernel.numbers import decimal

    count = decimal(tail, sys.maxsize)
    lines = reading.read(
        containers(),
        container,
        tail=-1 if count is None else count,
        since=moment(since) if since else 0,
        until=moment(until) if until else 0,
        follow=follow,
        pause=sys.stdout.flush,
    )
    for line in lines:
        text = f"{line.time} {line.text}" if timestamps else line.text
        data = _bytes(text)
        if line.stream == "stderr":  # where both are the terminal, in the order of the log
            sys.stdout.flush()
            sys.stderr.buffer.write(data)
            sys.stderr.flush()
        else:
            sys.stdout.buffer.write(data)


def _bytes(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # half a character of UTF-16: it is not we who wrote this
        return text.encode(errors="replace")
