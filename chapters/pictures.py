"""Pictures: each is drawn from what a real run left to be seen, and none by hand.

A picture is a function that types commands into a private machine (``transcripts.Machine``), reads
what they print, and returns an SVG. ``python3 chapters/book.py --pictures`` draws all of them anew
into ``chapters/pictures``; the tests draw them again and compare, ids and inodes masked.
"""

import html
from collections.abc import Callable
from pathlib import Path

from transcripts import Machine, pure_v2

PICTURES = Path(__file__).parent / "pictures"
KINDS = ("mnt", "uts", "pid", "ipc", "net", "user", "cgroup", "time")

_COLOURS = {
    "paper": "#ffffff",
    "ink": "#24292f",
    "dim": "#6e7781",
    "host": "#ddf4ff",
    "own": "#dafbe1",
    "gone": "#ffebe9",
    "copied": "#fff8c5",
    "plain": "#f6f8fa",
}


class Drawing:
    """An SVG being made. Its paper is always white, so that it reads in the dark, too."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._width, self._height = width, height
        self._parts = [f"<title>{html.escape(title)}</title>"]
        self._parts.append(f'<rect width="100%" height="100%" rx="8" fill="{_COLOURS["paper"]}"/>')

    def box(self, x: int, y: int, width: int, height: int, colour: str, *lines: str) -> None:
        """A box with lines of text in its middle; the first is the name, the others are small."""
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5"'
            f' fill="{_COLOURS[colour]}" stroke="{_COLOURS["ink"]}" stroke-width="1"/>'
        )
        first = y + height // 2 - (len(lines) - 1) * 8 + 5
        for number, line in enumerate(lines):
            self.text(x + width // 2, first + number * 16, line, "middle", small=number > 0)

    def text(
        self, x: int, y: int, text: str, anchor: str = "start", *, small: bool = False
    ) -> None:
        """A line of text; ``small`` is for what is said about something."""
        size, colour = (12, "dim") if small else (14, "ink")
        self._parts.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}"'
            f' fill="{_COLOURS[colour]}">{html.escape(text)}</text>'
        )

    def line(self, x1: int, y1: int, x2: int, y2: int, *, dashed: bool = False) -> None:
        """A line."""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{_COLOURS["ink"]}"{dash}/>'
        )

    def svg(self) -> str:
        """The whole file."""
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width} {self._height}"'
            f' width="{self._width}" height="{self._height}"'
            f' font-family="ui-monospace, Menlo, Consolas, monospace">\n{body}\n</svg>\n'
        )


def _typed(machine: Machine, *commands: str) -> list[list[str]]:
    return machine.type([(True, command) for command in commands])


_WAIT = "until PID=$(pgrep -x sleep); do sleep 0.1; done"


def namespaces(machine: Machine) -> str:
    """A container with some namespaces of its own, beside a process of the host."""
    ask = "for kind in " + " ".join(KINDS) + "; do readlink /proc/{}/ns/$kind; done"
    _, _, host, container = _typed(
        machine,
        "python3 steps/01-namespaces/main.py run --uts --pid --mount sleep 1000 &",
        _WAIT,
        ask.format("1"),
        ask.format("$PID"),
    )
    drawing = Drawing(760, 70 + 46 * len(KINDS), "Namespaces of a process and of a container")
    drawing.box(20, 20, 150, 26 + 46 * len(KINDS), "host", "your shell", "a process")
    drawing.box(590, 20, 150, 26 + 46 * len(KINDS), "own", "sleep", "run --uts --pid", "--mount")
    for row, (ours, its) in enumerate(zip(host, container, strict=True)):
        y = 30 + 46 * row
        if ours == its:
            drawing.box(230, y, 300, 34, "plain", ours)
            drawing.line(170, y + 17, 230, y + 17)
            drawing.line(530, y + 17, 590, y + 17)
        else:
            drawing.box(210, y, 160, 34, "host", ours)
            drawing.box(390, y, 160, 34, "own", its)
            drawing.line(170, y + 17, 210, y + 17)
            drawing.line(550, y + 17, 590, y + 17)
    drawing.text(380, 60 + 46 * len(KINDS), "shared where there is one box", "middle", small=True)
    return drawing.svg()


def pids(machine: Machine) -> str:
    """The processes of a container, each with its number outside and inside."""
    *_, found = _typed(
        machine,
        "python3 steps/01-namespaces/main.py run --pid --mount sh -c 'sleep 1000 & sleep 2000' &",
        "until [ $(pgrep -c -x sleep) = 2 ]; do sleep 0.1; done; INIT=$(pgrep -P $!)",
        "for pid in $! $INIT $(pgrep -P $INIT); do"
        " echo $(cat /proc/$pid/comm) $(grep NSpid /proc/$pid/status | cut -f 2-); done",
    )
    monitor, init, *children = [line.split() for line in found]
    drawing = Drawing(760, 330, "The numbers of a container's processes, outside and inside")
    drawing.box(20, 20, 720, 290, "host")
    drawing.box(240, 60, 480, 230, "own")
    drawing.text(40, 44, "the host: it sees all of them")
    drawing.text(260, 84, "the container's PID namespace: it sees its own")

    def process(x: int, y: int, name: str, *numbers: str) -> None:
        sides = ("outside", "inside")
        told = [f"{side}: pid {pid}" for side, pid in zip(sides, numbers, strict=False)]
        drawing.box(x, y, 170, 24 + 16 * len(told), "plain", name, *told)

    process(45, 152, *monitor)
    process(280, 144, *init)
    for row, child in enumerate(children):
        process(530, 100 + 90 * row, *child)
        drawing.line(450, 172, 530, 128 + 90 * row)
    drawing.line(215, 172, 280, 172)
    return drawing.svg()


def cgroups(machine: Machine) -> str:
    """A container's group in each hierarchy, with the limits that stand in its files."""
    _, _, memberships, limits = _typed(
        machine,
        "python3 steps/02-cgroups/main.py run -m 100M --cpus 0.5 --pids-limit 20 sleep 1000 &",
        _WAIT,
        "cat /proc/$PID/cgroup",
        "cd /sys/fs/cgroup; ID=$(basename $(tail -1 /proc/$PID/cgroup));"
        "for file in memory.limit_in_bytes memory.max cpu.cfs_quota_us cpu.max pids.max; do"
        ' find . -path "*/mydocker/$ID/$file" | while read f; do'
        " echo $f $(cat $f); done; done",
    )
    found = dict(line.split(" ", 1) for line in limits)
    columns = []
    for membership in reversed(memberships):
        _, controllers, path = membership.split(":", 2)
        name = controllers.removeprefix("name=") or ("unified" if len(memberships) > 1 else "v2")
        here = [
            f"{file.rpartition('/')[2]} = {value}"
            for file, value in found.items()
            if name == "v2" or f"/{name}/" in f"{file}/"
        ]
        columns.append((name, path, here))
    # Those that limit something; the others are only mentioned.
    told = [column for column in columns if column[2]]
    others = len(columns) > len(told)
    drawing = Drawing(40 + 270 * len(told), 370, "A container's control groups")
    for number, (name, path, here) in enumerate(told):
        x, middle = 20 + 270 * number, 20 + 270 * number + 125
        _, parent, group = path.split("/")
        drawing.box(x + 50, 20, 150, 44, "host", name, "a hierarchy")
        drawing.line(middle, 64, middle, 94)
        drawing.box(x + 50, 94, 150, 34, "plain", parent)
        drawing.line(middle, 128, middle, 158)
        drawing.box(x, 158, 250, 34 + 16 * len(here), "own", group[:12], *here)
        drawing.line(middle, 192 + 16 * len(here), 20 + 135 * len(told), 276, dashed=True)
    drawing.box(135 * len(told) - 90, 276, 220, 44, "own", "sleep 1000", "in all of them")
    if others:
        drawing.text(20, 350, "and in one group of each other hierarchy", small=True)
    return drawing.svg()


def layers(machine: Machine) -> str:
    """What a container's files consist of, after it changed, deleted and made some."""
    names = ("bin/busybox", "etc/passwd", "etc/group", "new")
    look = (
        "for name in " + " ".join(names) + "; do stat -c '%F %t,%T' {}/$name 2>/dev/null"
        " || echo none; done"
    )
    *_, top, below, merged = _typed(
        machine,
        "python3 steps/03-overlay2/main.py run busybox sleep 1000 &",
        _WAIT,
        "nsenter --target $PID --all sh -c 'echo x >> /etc/passwd; rm /etc/group; echo hi > /new'",
        "cd /var/lib/mydocker/overlay2; ID=$(grep -o 'upperdir=[^/]*' /proc/$PID/mountinfo |"
        " head -1 | cut -d = -f 2); cd $ID",
        look.format("diff"),
        look.format("../$(cut -d : -f 1 lower)"),
        look.format("/proc/$PID/root"),
    )
    drawing = Drawing(790, 300, "The layers of a container: copy-up, whiteout, new file")
    rows = (
        ("merged", "what it sees", merged),
        ("upper", "its own", top),
        ("lower", "image", below),
    )
    for column, name in enumerate(names):
        drawing.text(225 + 155 * column, 34, f"/{name}", "middle")
    for row, (layer, what, found) in enumerate(rows):
        y = 50 + 80 * row
        drawing.box(16, y, 118, 56, "plain", layer, what)
        for column, status in enumerate(found):
            x = 152 + 155 * column
            if status == "none":
                drawing.text(x + 72, y + 33, "·", "middle", small=True)
            elif status == "character special file 0,0":
                drawing.box(x, y, 145, 56, "gone", "whiteout", "device 0,0")
            elif layer == "merged":  # in the colour of the layer that it comes from
                changed = "copied" if below[column] != "none" else "own"
                drawing.box(x, y, 145, 56, changed if top[column] != "none" else "host", "file")
            elif layer == "upper":
                copied = below[column] != "none"
                words = ("file", "copied up, changed") if copied else ("file", "new")
                drawing.box(x, y, 145, 56, "copied" if copied else "own", *words)
            else:
                hidden = top[column] != "none"
                drawing.box(x, y, 145, 56, "host", "file", "hidden" if hidden else "shows through")
    return drawing.svg()


def network(machine: Machine) -> str:
    """Two containers on a bridge, as ``network map --svg`` draws them."""
    *_, drawn = _typed(
        machine,
        "./mydocker network create blue",
        "./mydocker run -d --net blue --name web -p 8080:80 busybox httpd -f",
        "./mydocker run -d --net blue --name db busybox sleep 1000",
        "./mydocker network map --svg",
    )
    return "\n".join(drawn) + "\n"


ALL: dict[str, Callable[[Machine], str]] = {
    "namespaces": namespaces,
    "pids": pids,
    "cgroups": cgroups,
    "layers": layers,
    "network": network,
}


# What is said in a picture, in the words of terminology.md; names of the kernel's stay.
_CHINESE = {
    "Namespaces of a process and of a container": "一个进程和一个容器的命名空间",
    "The numbers of a container's processes, outside and inside": "容器里的进程在外面和里面的编号",
    "the host: it sees all of them": "宿主机看得见全部",
    "the container's PID namespace: it sees its own": "容器的 PID 命名空间只看得见自己的",
    "your shell": "你的 shell",
    "a process": "一个进程",
    "shared where there is one box": "只有一个方框的是共用的",
    "A container's control groups": "一个容器的控制组",
    "a hierarchy": "一棵层级树",
    "in all of them": "在所有这些组里",
    "and in one group of each other hierarchy": "在其余每棵层级树里也各属于一个组",
    "The layers of a container: copy-up, whiteout, new file": "容器的各层",
    "what it sees": "它看到的",
    "its own": "它自己的",
    "image": "镜像",
    "file": "文件",
    "copied up, changed": "向上复制并修改",
    "new": "新建",
    "hidden": "被遮住",
    "shows through": "透出来",
    "whiteout": "白障 whiteout",
    "device 0,0": "设备 0,0",
    "this machine": "这台机器",
}


def in_chinese(svg: str) -> str:
    """The same picture with its words in Chinese."""
    for english, chinese in _CHINESE.items():
        svg = svg.replace(f">{html.escape(english)}<", f">{chinese}<")
    for english, chinese in (("outside", "外面"), ("inside", "里面")):
        svg = svg.replace(f">{english}: pid ", f">{chinese}: pid ")
    return svg


def can_draw(name: str) -> bool:
    """Whether this machine has what the book's picture shows."""
    return name != "cgroups" or not pure_v2()


def redraw() -> None:
    """Draw all pictures anew."""
    PICTURES.mkdir(exist_ok=True)
    machine = Machine()
    try:
        for name, draw in ALL.items():
            if can_draw(name):
                drawn = draw(machine)
                (PICTURES / f"{name}.svg").write_text(drawn)
                (PICTURES / f"{name}.zh.svg").write_text(in_chinese(drawn))
    finally:
        machine.close()
