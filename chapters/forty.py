"""The program of *A container in forty lines*, as it is after each stage.

``box.py`` is the whole. A line that ends in ``# 3`` came in stage 3, and so did what is indented
below it; a line without a number has been there from the first. Stages only add lines::

    python3 chapters/forty.py 3 >box.py     the program after stage 3
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent / "box.py"
STAGES = range(1, 6)
_NUMBER = re.compile(r"  # ([1-9])$")


def numbered() -> Iterator[tuple[int, str]]:
    """The lines of the whole program without their numbers, each with its stage."""
    stage, depth, blank = 1, 0, 0  # of whatever is indented deeper than this
    for line in PROGRAM.read_text().splitlines():
        if not line:
            blank += 1  # it comes with the line below
            continue
        indented = len(line) - len(line.lstrip())
        found = _NUMBER.search(line)
        if found or (indented <= depth and line != "):"):
            stage, depth = int(found[1]) if found else 1, indented
        yield from [(stage, "")] * blank
        yield stage, _NUMBER.sub("", line)
        blank = 0


def program(stage: int) -> str:
    """The program after a stage."""
    return "".join(f"{line}\n" for number, line in numbered() if number <= stage)


def pieces(stage: int) -> list[str]:
    """What a stage adds, piece by piece; a comment above each names the line that it stands below.

    The first stage has nothing to stand below: its pieces are what blank lines part.
    """
    if stage == 1:
        return [part.strip("\n") for part in re.split(r"\n{2,}", program(1))]
    found: list[list[str]] = []
    above, adding = "", False
    for number, line in numbered():
        if number > stage or not line:
            continue
        if number == stage and not adding:
            indent = line[: len(line) - len(line.lstrip())]
            found.append([f"{indent}# below: {above.strip()}"])
        adding = number == stage
        if adding:
            found[-1].append(line)
        above = line
    return ["\n".join(lines) for lines in found]


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in map(str, STAGES):
        print(f"usage: python3 chapters/forty.py {STAGES[0]}…{STAGES[-1]}", file=sys.stderr)
        return 2
    print(program(int(arguments[0])), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
