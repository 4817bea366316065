"""The option ``--detach-keys`` of every command that attaches a terminal."""

import click

detach_keys_option = click.option(
    "--detach-keys", default="ctrl-p,ctrl-q", metavar="KEYS", help="To leave it."
)
