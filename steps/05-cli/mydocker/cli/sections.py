"""The page of ``mydocker --help``: commands in sections, as somebody looks for them."""

from collections.abc import Mapping
from typing import Any

import click

from mydocker.container.commandline import LazyGroup


class CommandGroup(LazyGroup):
    """A group that knows Docker's other commands, and where they are."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            from mydocker.cli.elsewhere import LATER, Elsewhere

            if cmd_name in LATER:
                return Elsewhere(cmd_name)
        return found


class SectionedGroup(CommandGroup):
    """A group whose help lists its commands in ``sections``: ``{title: "name name …"}``.

    A command that is in none of them comes under the last one, so that none is ever missing.
    """

    def __init__(self, *args: Any, sections: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = {title: names.split() for title, names in sections.items()}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        known = {name for names in self.sections.values() for name in names}
        commands = self.list_commands(ctx)
        rest = [name for name in commands if name not in known]
        last = list(self.sections)[-1]
        for title, names in self.sections.items():
            shown = [*names, *rest] if title == last else names
            self.write_commands(ctx, formatter, title, shown)
