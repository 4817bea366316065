"""``mydocker doctor``: check the machine, and name the fix for what is wrong."""

import json
import os
import sys

import click

from mydocker.container import printing
from mydocker.container.commandline import default_run, explain_option
from mydocker.container.flags import command
from mydocker.engine.cleaning.leftover import Place
from mydocker.engine.doctor import Check, State, examine
from mydocker.overlay2.root_option import root_option

_MARKS = {
    State.OK: ("✓", "green"),
    State.WARNING: ("!", "yellow"),
    State.FAILURE: ("✗", "red"),
    State.NOT_APPLICABLE: ("-", "dim"),
}


@command()
@root_option
@click.option("--full", is_flag=True, help="Read all blobs of all images again, too.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
@explain_option
def doctor(root: str, full: bool, as_json: bool) -> int:
    """Check this machine: each thing that a container needs is tried.

    Nothing is changed. The exit code is 1 if something is found without which containers cannot
    run; warnings are about what some of them need.
    """
    subjects = {}
    show = _show_nothing if as_json else _show_table if sys.stdout.isatty() else _show_lines
    for subject, checks in examine(Place(os.path.abspath(root), default_run()), full=full):
        subjects[subject] = checks
        show(subject, checks)
    found = [check.state for checks in subjects.values() for check in checks]
    if as_json:
        click.echo(json.dumps({s: [_plain(c) for c in checks] for s, checks in subjects.items()}))
    else:
        failures, warnings = found.count(State.FAILURE), found.count(State.WARNING)
        click.echo(f"{len(found)} checks: {failures} failed, {warnings} with a warning")
        if os.geteuid() != 0:
            click.echo("Most things only root can try: sudo mydocker doctor")
    return int(State.FAILURE in found)


def _plain(check: Check) -> dict[str, str]:
    state = check.state.value
    return {"name": check.name, "state": state, "observed": check.observed, "fix": check.fix}


def _show_nothing(subject: str, checks: list[Check]) -> None:
    """All is shown at the end."""


def _show_lines(subject: str, checks: list[Check]) -> None:
    """For a pipe: each check is one line, and its fix a second one."""
    for check in checks:
        click.echo(f"{check.state.value}: {check.name}: {check.observed}")
        if check.fix:
            click.echo(f"    fix: {check.fix}")


def _show_table(subject: str, checks: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, title=subject, title_justify="left", pad_edge=False)
    table.title_style = "bold"
    table.add_column(width=1)
    table.add_column(width=17)
    table.add_column(overflow="fold")
    for check in checks:
        mark, colour = _MARKS[check.state]
        style = "dim" if check.state is State.NOT_APPLICABLE else ""
        table.add_row(Text(mark, colour), Text(check.name, style), Text(check.observed, style))
        if check.fix:
            table.add_row("", Text("fix:", "bold"), Text(check.fix, "bold"))
    console = printing.console(highlight=False)
    console.print(table)
    console.print()
