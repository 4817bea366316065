"""Drawings of things: layers that lie on each other, packets that travel, an address space."""

from collections.abc import Sequence

from matplotlib.patches import Rectangle

from workbench.pictures import BLUE, GREEN, GREY, LIGHT, ORANGE, PINK, RED, SKY, canvas, show

Layers = Sequence[tuple[str, dict[str, str]]]
_SEEN, _HIDDEN, _GONE = "seen", "hidden", "whiteout"
_LOOKS = {_SEEN: (GREEN, "white"), _HIDDEN: (LIGHT, GREY), _GONE: (RED, "white")}


def judged(layers: Layers) -> list[dict[str, str]]:
    """For each layer, top first, what becomes of each of its names: seen, hidden or whiteout."""
    decided: set[str] = set()
    found = []
    for _, names in layers:
        found.append(
            {
                name: _HIDDEN if name in decided else _GONE if kind == _GONE else _SEEN
                for name, kind in names.items()
            }
        )
        decided |= set(names)
    return found


def stack(pictures: Sequence[tuple[str, Layers]]) -> None:
    """Stacks of layers side by side, top first: a column for each name, a row for each layer.

    The first layer that has a name decides: drawn as an arrow that looks from above.
    """
    columns = sorted({name for _, layers in pictures for _, names in layers for name in names})
    rows = max(len(layers) for _, layers in pictures)
    figure, all_axes = canvas(0.55 * rows + 1.0, columns=len(pictures), sharey=False)
    for axes, (title, layers) in zip(
        all_axes if len(pictures) > 1 else [all_axes], pictures, strict=True
    ):
        for row, ((label, names), fate) in enumerate(zip(layers, judged(layers), strict=True)):
            axes.add_patch(
                Rectangle((-0.1, -row - 0.86), len(columns) + 0.1, 0.8, fill=False, color=GREY)
            )
            axes.text(-0.2, -row - 0.46, label, ha="right", va="center", fontsize=8.5)
            for name in names:
                colour, ink = _LOOKS[fate[name]]
                x = columns.index(name)
                axes.add_patch(Rectangle((x + 0.04, -row - 0.78), 0.86, 0.64, color=colour))
                text = "✗" if fate[name] == _GONE else names[name]
                axes.text(
                    x + 0.47, -row - 0.46, text, ha="center", va="center", color=ink, fontsize=8
                )
        axes.set_xlim(-0.1, len(columns))
        axes.set_ylim(-rows, 0.05)
        axes.set_xticks([i + 0.47 for i in range(len(columns))], columns, fontsize=8.5)
        axes.xaxis.tick_top()
        axes.set_yticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(title, fontsize=10, loc="left")
    told = [f"{title}: {layers}" for title, layers in pictures]
    show(figure, "; ".join(told))


def address_space(areas: Sequence[tuple[str, str, int]]) -> None:
    """Areas of a process's memory, ``(name, permissions, bytes)``, one above the other."""
    colours = {"x": ORANGE, "w": BLUE, "r": SKY}
    figure, axes = canvas(0.5 + 0.3 * len(areas))
    for row, (name, permissions, size) in enumerate(areas):
        colour = next((colours[letter] for letter in "xwr" if letter in permissions), LIGHT)
        axes.barh(row, max(size / 1024, 4), color=colour)
        axes.text(max(size / 1024, 4), row, f" {name}  {permissions}", va="center", fontsize=8.5)
    axes.set_xscale("log")
    axes.set_xlim(2, max(size for *_, size in areas) / 1024 * 40)
    axes.set_yticks([])
    axes.set_xlabel("KiB, from low addresses (below) to high ones; orange: code, blue: writable")
    axes.spines["left"].set_visible(False)
    show(
        figure, "; ".join(f"{name} {permissions} {size} bytes" for name, permissions, size in areas)
    )


def sequence(lanes: Sequence[str], arrows: Sequence[tuple[int, int, str, str]]) -> None:
    """Who sends what to whom, from top to bottom: ``(from lane, to lane, text, kind)``."""
    colours = {"arp": PINK, "icmp": BLUE, "tcp": GREEN, "lost": RED}
    figure, axes = canvas(0.8 + 0.3 * len(arrows))
    for lane, name in enumerate(lanes):
        axes.axvline(lane, color=LIGHT, linewidth=3, zorder=0)
        axes.text(lane, 0.6, name, ha="center", va="bottom", fontsize=9.5, weight="bold")
    for row, (source, target, text, kind) in enumerate(arrows):
        colour = colours.get(kind, GREY)
        axes.annotate(
            "",
            (target, -row),
            (source, -row),
            arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0},
        )
        axes.text(
            (source + target) / 2, -row + 0.08, text, ha="center", va="bottom",
            fontsize=7.5, color=colour,
        )  # fmt: skip
    axes.set_xlim(-0.5, len(lanes) - 0.5)
    axes.set_ylim(-len(arrows) + 0.5, 1.2)
    axes.set_axis_off()
    show(figure, "; ".join(f"{lanes[a]} to {lanes[b]}: {text}" for a, b, text, _ in arrows))
