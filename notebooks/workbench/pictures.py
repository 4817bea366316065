"""Drawings of what was measured. Each becomes a PNG of a few kilobytes in the notebook."""

import io
import time
from collections.abc import Sequence
from types import EllipsisType, TracebackType
from typing import Any, Self

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

# Okabe and Ito's colours, which people who see few colours can tell apart
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PINK, SKY, YELLOW, GREY, LIGHT = "#CC79A7", "#56B4E9", "#F0E442", "#777777", "#e4e4e4"
CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
_DPI = 130
_REDRAW = 0.3  # seconds between two looks of a live picture


def canvas(height: float, columns: int = 1, width: float = 8.4, **more: Any) -> tuple[Figure, Any]:
    """An empty figure with its axes, one or a row of them."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, **more)
    for one in axes if columns > 1 else [axes]:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: Figure) -> bytes:
    """The figure as an image with 64 colours: a third of the size of all colours."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    # MEDIANCUT keeps the colours that are drawn; MAXCOVERAGE made LIGHT a pale pink.
    image = Image.open(drawn).convert("RGB").quantize(64, method=Image.Quantize.MEDIANCUT)
    packed = io.BytesIO()
    image.save(packed, format="png", optimize=True)
    return packed.getvalue()


def _image(figure: Figure, text: str) -> Any:
    from IPython.display import Image

    pixels = int(figure.get_size_inches()[0] * 100)
    return Image(data=png(figure), format="png", alt=text, width=pixels)  # type: ignore[no-untyped-call]


def show(figure: Figure, text: str) -> None:
    """Display a figure; ``text`` says it to those who cannot see it."""
    from IPython.display import display

    display(_image(figure, text))  # type: ignore[no-untyped-call]


class Live:
    """A figure that is displayed now and drawn again while things happen: a ``with`` block."""

    def __init__(self, figure: Figure, text: str) -> None:
        self.figure, self.text = figure, text
        self._handle: Any = None
        self._drawn = 0.0

    def __enter__(self) -> Self:
        from IPython.display import display

        self._handle = display(_image(self.figure, self.text), display_id=True)  # type: ignore[no-untyped-call]
        return self

    def redraw(self) -> None:
        """Draw it again, if the last time was long enough ago; else wait a moment."""
        if time.monotonic() - self._drawn < _REDRAW:
            time.sleep(0.02)
        else:
            self._handle.update(_image(self.figure, self.text))
            self._drawn = time.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.update(_image(self.figure, self.text))


def level(axes: Axes, height: float | EllipsisType, label: str, colour: str = RED) -> None:
    """A horizontal line with its name; nothing for ``...``, a guess that was not made."""
    if isinstance(height, EllipsisType):
        return
    axes.axhline(height, color=colour, linewidth=1.4, linestyle="--")
    axes.annotate(
        label,
        (1, height),
        xycoords=("axes fraction", "data"),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        color=colour,
        fontsize=9,
    )


def matrix(rows: Sequence[tuple[str, dict[str, int]]], title: str = "") -> None:
    """Which process is in which namespace: equal colours in a column are the same namespace.

    The first row is the reference: what is as there is grey.
    """
    kinds = list(rows[0][1])
    figure, axes = canvas(0.75 + 0.48 * len(rows))
    for column, kind in enumerate(kinds):
        colours = {rows[0][1][kind]: LIGHT}
        for row, (_, inodes) in enumerate(rows):
            inode = inodes[kind]
            colour = colours.setdefault(inode, CYCLE[(row - 1) % len(CYCLE)])
            axes.add_patch(Rectangle((column, -row), 0.94, -0.88, color=colour))
            ink = "black" if colour in (LIGHT, ORANGE, SKY) else "white"
            axes.text(
                column + 0.47, -row - 0.44, f"…{inode % 100000:05}", ha="center", va="center",
                color=ink, fontsize=9,
            )  # fmt: skip
    axes.set_xlim(0, len(kinds))
    axes.set_ylim(-len(rows), 0)
    axes.set_xticks([i + 0.47 for i in range(len(kinds))], kinds)
    axes.set_yticks([-i - 0.44 for i in range(len(rows))], [label for label, _ in rows])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, fontsize=10, loc="left")
    show(figure, "; ".join(f"{label}: {inodes}" for label, inodes in rows))


Step = tuple[str, float, float, str]


def merged(steps: Sequence[Step], least: float) -> list[Step]:
    """The steps, but neighbours of one kind that are shorter than ``least`` as one."""
    rows: list[list[Step]] = []
    for step in steps:
        before = rows[-1][-1] if rows else step
        short = step[2] - step[1] < least and before[2] - before[1] < least
        if rows and short and before[3] == step[3]:
            rows[-1].append(step)
        else:
            rows.append([step])
    return [
        (_summary([label for label, *_ in row]), row[0][1], row[-1][2], row[0][3]) for row in rows
    ]


def _summary(labels: list[str]) -> str:
    if len(labels) == 1:
        return labels[0]
    calls = [label.partition("(")[0] for label in labels]
    return ", ".join(f"{calls.count(call)} {call}" for call in dict.fromkeys(calls))


def waterfall(steps: Sequence[Step], colours: dict[str, str], unit: str = "ms") -> None:
    """Bars one below the other, ``(label, begin, end, kind)``: what happened when."""
    figure, axes = canvas(0.9 + 0.2 * len(steps))
    for row, (label, begin, end, kind) in enumerate(steps):
        axes.barh(-row, max(end - begin, 0.004), left=begin, color=colours[kind], height=0.8)
        text = axes.text(end, -row, f" {label}", va="center", fontsize=7.5)
        text.set_in_layout(False)  # long ones would leave no room for the bars
    for kind, colour in colours.items():
        total = sum(end - begin for _, begin, end, other in steps if other == kind)
        if total:
            axes.barh(0, 0, color=colour, label=f"{kind}: {total:.1f} {unit}")
    axes.legend(loc="lower left", fontsize=8.5, frameon=False)
    axes.set_yticks([])
    axes.set_ylim(-len(steps), 1)
    axes.set_xlim(0, steps[-1][2] * 1.6)
    axes.set_xlabel(unit)
    axes.spines["left"].set_visible(False)
    show(figure, "; ".join(f"{label} {end - begin:.2f} {unit}" for label, begin, end, _ in steps))
