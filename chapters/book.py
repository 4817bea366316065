"""Weave the book: put what the programs are and do into the chapters, in place.

A chapter says where a piece comes from, and cog (https://nedbatchelder.com/code/cog) puts it there,
so that the chapter reads on any Markdown viewer::

    <!-- [[[cog code("steps/01-namespaces/main.py", "run_command") ]]] -->
    …
    <!-- [[[end]]] -->

``code`` brings a class, function or constant (what an exercise asks for is folded away), ``stage``
what a stage adds to ``box.py``, ``help`` what a program says of itself, ``explain`` what it asks of
the kernel. What a shell prints is another matter: see ``transcripts.py``; the website is built by
``website.py``.

    python3 chapters/book.py                  weave all chapters anew
    python3 chapters/book.py --transcripts [PART OF A HEADING | CHAPTER.md]...
                                              type all transcripts again, and write what they print
    python3 chapters/book.py --pictures       run what the pictures show, and draw them anew

``./test chapters`` fails if any of it would change something.
"""

import ast
import functools
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"


def source(path: str, symbol: str) -> str:
    """The text of one class, function or constant of a module: ``Class.method`` for a method.

    With the lines that mark the regions of exercises. Raises LookupError if the module has no such
    symbol.
    """
    text = (ROOT / path).read_text()
    node: ast.AST = ast.parse(text)
    for name in symbol.split("."):
        node = _find(node, name, f"{path} has no {symbol}")
    decorators = getattr(node, "decorator_list", [])
    first = min([d.lineno for d in decorators] + [node.lineno])  # type: ignore[attr-defined]
    # the mark behind the last line belongs to it: a comment is no part of what is parsed
    last = node.end_lineno  # type: ignore[attr-defined]
    lines = text.splitlines()
    if last < len(lines) and lines[last].strip() == "# end lab":
        last += 1
    return textwrap.dedent("\n".join(lines[first - 1 : last]))


REGION = re.compile(r"^( *)# lab (\d+\.\d+): .*\n((?:.*\n)*?) *# end lab$", re.M)


def _find(parent: ast.AST, name: str, failure: str) -> ast.AST:
    for node in getattr(parent, "body", []):
        targets = node.targets if isinstance(node, ast.Assign) else []
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if name in [getattr(node, "name", ""), *names]:
            found: ast.AST = node
            return found
    raise LookupError(failure)


def code(path: str, symbol: str) -> None:
    """Print a symbol's source as a Markdown block; called from the chapters.

    What an exercise asks for is not in it: it stands below, folded, for those who have written
    theirs.
    """
    import cog  # type: ignore[import-not-found]

    text = source(path, symbol)
    cog.outl(f"```python\n{REGION.sub(_yours, text)}\n```")
    for _, exercise, answer in REGION.findall(text):
        cog.outl(f'\n<details markdown="1">\n<summary>{OURS} {exercise}</summary>\n')
        cog.outl(f"```python\n{textwrap.dedent(answer).rstrip()}\n```\n\n</details>")


OURS = "Ours, for when you have written yours: exercise"


def _yours(region: re.Match[str]) -> str:
    return f"{region[1]}...  # exercise {region[2]}: yours to write"


def stage(number: int, first: int, last: int = 0) -> None:
    """Print the pieces ``first`` to ``last`` of what a stage adds to the program in forty lines."""
    import cog
    import forty

    chosen = forty.pieces(number)[first - 1 : last or first]
    between = "\n\n" if number == 1 else "\n"
    cog.outl(f"```python\n{between.join(chosen)}\n```")


def help(step: int, *words: str) -> None:  # noqa: A001  (it is what the chapters call it)
    """Print what ``main.py`` of a step says to ``--help``, at 80 columns."""
    import cog

    (main,) = ROOT.glob(f"steps/{step:02}-*/main.py")
    program = "./mydocker" if step == 5 else f"python3 {main.relative_to(ROOT)}"
    environment = {**os.environ, "COLUMNS": "80", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-ESs", str(main), *words, "--help"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    typed = " ".join([program, *words, "--help"])
    cog.outl(f"```text\n$ {typed}\n{done.stdout.rstrip()}\n```")


def explain(command: str) -> None:
    """Print what ``command``, which has ``--explain`` in it, tells. Needs root."""
    import cog

    cog.outl(f"```text\n# {command}\n{_explained(command)}\n```")


def exercises(step: int) -> None:
    """Print the exercises of a step's lab, from ``course.toml``: its goals, minutes and stars."""
    import cog

    labs = tomllib.loads((ROOT / "course.toml").read_text())["labs"]
    ours = [lab for lab in labs if lab["id"].startswith(f"{step}.")]
    rows = [
        f"| {lab['id']} | **{lab['title']}**: {lab['goal']} | {lab['minutes']} | "
        f"{'★' * lab['difficulty']} |"
        for lab in ours
    ]
    cog.outl("| | what you write | minutes | |\n|---|---|---|---|\n" + "\n".join(rows))


def doctor() -> None:
    """Print all checks of ``mydocker doctor``, with what to do about each."""
    import cog
    from troubleshooting import table

    cog.outl(table())


@functools.cache
def _explained(command: str) -> str:
    from transcripts import Machine

    machine = Machine()
    try:
        (printed,) = machine.type([(True, command)])
    finally:
        machine.close()
    text = "\n".join(line.rstrip() for line in printed)
    # Every run has its own numbers: the book's are always the same.
    for pattern, shown in (
        (r"(?<=\) = )\d{2,}$|(?<=/proc/)\d+(?=/)|(?<=pidfd of )\d+", "4711"),
        (r"\b[0-9a-f]{64}\b", "5eb0" * 16),
        (r"\b(?=[a-f]*[0-9])[0-9a-f]{12}\b", "5eb0" * 3),
        (r"\bveth[0-9a-f]+", "veth5eb05eb0"),
    ):
        text = re.sub(pattern, shown, text, flags=re.M)
    return text


def weave(chapters: list[str], *options: str) -> int:
    """Run cog over chapters; its exit code: 5 if ``--check`` found one that would change."""
    from cogapp import Cog  # type: ignore[import-untyped]

    prologue = ["-p", "from book import *", "-I", str(CHAPTERS)]
    status: int = Cog().main(["cog", *prologue, *options, *chapters])
    return status


def originals() -> list[Path]:
    """The chapters and appendices in English, in order."""
    return sorted(CHAPTERS.glob("*.md"))


def main(arguments: list[str]) -> int:
    """What the command line asks for; the exit code."""
    match arguments:
        case []:
            woven = weave([str(path) for path in originals()], "-r")
            from translations import report

            print("\n".join(report()), file=sys.stderr)  # the code into chapters/zh; what is stale
            return woven
        case ["--transcripts", *parts]:
            import transcripts

            named = [CHAPTERS / part for part in parts if part.endswith(".md")]
            sections = [part for part in parts if not part.endswith(".md")]
            transcripts.renew(named or originals(), *sections)
        case ["--pictures"]:
            import pictures

            pictures.redraw()
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
