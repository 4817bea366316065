"""Weave the book: put pieces of the source into the chapters, in place, so that they cannot drift.

A chapter says where a piece of code comes from, and cog (https://nedbatchelder.com/code/cog) puts
it there, so that the chapter reads on any Markdown viewer::

    <!-- [[[cog code("steps/01-namespaces/main.py", "run_command") ]]] -->
    …
    <!-- [[[end]]] -->

``python3 chapters/book.py`` weaves all chapters anew; ``./test chapters`` fails if that would
change one.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def source(path: str, symbol: str) -> str:
    """The text of one class, function or constant of a module: ``Class.method`` for a method.

    Raises LookupError if the module has no such symbol.
    """
    text = (ROOT / path).read_text()
    node: ast.AST = ast.parse(text)
    for name in symbol.split("."):
        node = _find(node, name, f"{path} has no {symbol}")
    lines = text.splitlines()
    decorators = getattr(node, "decorator_list", [])
    first = min([d.lineno for d in decorators] + [node.lineno])  # type: ignore[attr-defined]
    text_of = lines[first - 1 : node.end_lineno]  # type: ignore[attr-defined]
    return "\n".join(line for line in text_of if not _MARKER.match(line))


# What begins and ends an exercise in the source (see mydocker.labs.regions)
_MARKER = re.compile(r"\s*# (lab \d+\.\d+: .+|end lab)$")


def _find(parent: ast.AST, name: str, failure: str) -> ast.AST:
    for node in getattr(parent, "body", []):
        targets = node.targets if isinstance(node, ast.Assign) else []
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if name in [getattr(node, "name", ""), *names]:
            found: ast.AST = node
            return found
    raise LookupError(failure)


def code(path: str, symbol: str) -> None:
    """Print a symbol's source as a Markdown block; called from the chapters."""
    import textwrap

    import cog

    cog.outl(f"```python\n{textwrap.dedent(source(path, symbol))}\n```")


def weave(chapters: list[str], *options: str) -> int:
    """Run cog over chapters; its exit code: 5 if ``--check`` found one that would change."""
    from cogapp import Cog

    prologue = ["-p", "from book import code", "-I", str(ROOT / "chapters")]
    status: int = Cog().main(["cog", *prologue, *options, *chapters])
    return status


if __name__ == "__main__":
    from translations import report

    woven = weave([str(path) for path in sorted(ROOT.glob("chapters/*.md"))], "-r")
    print("\n".join(report()), file=sys.stderr)  # the same code into chapters/zh; what is stale
    sys.exit(woven)
