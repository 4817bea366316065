"""How lists are printed: Docker's tables, templates, JSON lines."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mydocker.container.printing import shown
from mydocker.kernel.errors import one_line

Row = Mapping[str, Any]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as their longest word, three spaces apart and at least ten wide: Docker's."""
    lines = [list(titles), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(7, *map(len, column)) + 3 for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        sys.stdout.write("".join([*cells, line[-1]]) + "\n")


def formatted(
    form: str, rows: Iterable[Row], titles: Mapping[str, str], columns: Sequence[str]
) -> None:
    """Print ``rows`` as ``--format`` says: empty for the table of ``columns``, ``json``, a
    template, or ``table`` and a template, whose fields become the columns."""
    if form in ("", "table"):
        names = [titles[column] for column in columns]
        table(names, ([str(row[column]) for column in columns] for row in rows))
        return
    from mydocker.engine.words.govalues import Row as Columns
    from mydocker.engine.words.templates import Template

    if form == "json":
        form = "{{json .}}"
    head, _, rest = form.partition(" ")
    as_table = head == "table"
    text = _unescaped(rest if as_table else form)
    template = Template(text)
    told = (row if isinstance(row, Columns) else Columns("row", row) for row in rows)
    if not as_table:
        for row in told:
            sys.stdout.write(shown(template(row), form) + "\n")
        return
    title = Columns("title", titles, Label=lambda name: name.rpartition(".")[2])
    lines = [Template(text, titles=True)(title).split("\t")]
    lines += [template(row).split("\t") for row in told]
    width = max(map(len, lines))
    table(lines[0] + [""] * (width - len(lines[0])), lines[1:])


def _unescaped(text: str) -> str:
    r"""``\t`` and ``\n`` as they are typed in a shell."""
    return text.replace("\\t", "\t").replace("\\n", "\n")


def shorten(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, with an ellipsis if it was longer."""
    return text if len(text) <= width else text[: width - 1] + "…"


def command_text(arguments: Sequence[str]) -> str:
    """A command in one line, as Docker lists it: arguments with a space in them in ``'``."""
    own, rest = arguments[:1], arguments[1:]  # nothing at all, if what was written down is damaged
    return " ".join([*own, *(f"'{word}'" if " " in word else word for word in rest)])
