"""What containers and images call things, on its way to the reader's terminal.

A terminal obeys what is written to it: ESC begins orders, BEL rings, U+202E turns the direction of
writing. So whatever is shown to a person passes one of these; what a program reads in a pipe is
left as it is. The rule of what is printable is :func:`mydocker.kernel.errors.one_line`'s.
"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mydocker.kernel.errors import one_line

if TYPE_CHECKING:
    from rich.console import Console


def shown(text: str, own: str = "") -> str:
    """``text`` for standard output. On a terminal what is not printable is written as Python writes
    it, but for the ends of lines, and for what is in ``own``: what the reader typed himself."""
    if text.isprintable() or not sys.stdout.isatty():
        return text
    return "".join(c if c in "\n\t" or c in own else one_line(c) for c in text)


def as_json(value: Any, **options: Any) -> str:
    """JSON that is readable where it can be, and ``\\u001b`` where it is not printable."""
    import json

    text = json.dumps(value, ensure_ascii=False, **options)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def console(**options: Any) -> "Console":
    """A console of rich's that sends nothing to the terminal but text and its own colours."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class Printable(Console):
        def render_str(self, text: str, **how: Any) -> Text:  # before widths are measured
            return super().render_str(_lines(text), **how)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control or segment.text.isprintable():
                    yield segment
                else:
                    yield Segment(_lines(segment.text), segment.style)

    return Printable(**options)


def _lines(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" else one_line(c) for c in text)
