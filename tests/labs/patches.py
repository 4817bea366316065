"""Wrong solutions: small patches in labs/wrong, with a header that says what must become of them.

::

    exercise: 1.2
    mistake: the map is turned round
    outcome: wrong            (or crash, timeout; wrong if it is left out)
    world: v1                 (only if it is no mistake in the other one)
    hint: the sentence that the student must be told; none for none

    --- a/steps/...
    +++ b/steps/...
"""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATCHES = sorted((ROOT / "labs/wrong").glob("*.patch"))


@dataclass(frozen=True)
class Patch:
    """One of them; ``name`` is that of its file."""

    name: str
    exercise: str
    outcome: str
    hint: str
    world: str
    hunks: tuple[tuple[str, str, str], ...]  # file, lines before, lines after

    def applied(self) -> dict[str, str]:
        """The files that it changes, as paths below steps/, with their new text."""
        changed: dict[str, str] = {}
        for path, before, after in self.hunks:
            text = changed.get(path) or (ROOT / "steps" / path).read_text()
            assert text.count(before) == 1, f"{self.name}: does not apply to {path}:\n{before}"
            changed[path] = text.replace(before, after)
        return changed


def read(path: Path) -> Patch:
    """Read a patch with its header."""
    head, _, diff = path.read_text().partition("\n\n")
    told = dict(line.split(": ", 1) for line in head.splitlines())
    assert {"exercise", "mistake", "hint"} <= told.keys(), f"{path}: a header lacks something"
    hint = "" if told["hint"] == "none" else told["hint"]
    outcome, world = told.get("outcome", "wrong"), told.get("world", "")
    return Patch(path.stem, told["exercise"], outcome, hint, world, tuple(_hunks(diff)))


def _hunks(diff: str) -> list[tuple[str, str, str]]:
    found: list[tuple[str, list[str], list[str]]] = []
    path = ""
    for line in diff.splitlines(keepends=True):
        if line.startswith("--- "):
            continue
        if line.startswith("+++ "):
            path = line[4:].split("\t")[0].strip().removeprefix("b/steps/")
        elif line.startswith("@@"):
            found.append((path, [], []))
        elif line[:1] in (" ", "-", "+", "\n") and found:
            text = line[1:] if line != "\n" else line  # an editor took the lone space away
            if line[0] != "+":
                found[-1][1].append(text)
            if line[0] != "-":
                found[-1][2].append(text)
    return [(path, "".join(before), "".join(after)) for path, before, after in found]
