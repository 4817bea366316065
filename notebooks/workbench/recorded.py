"""Without root: a cell that begins with ``# needs root`` shows what is stored instead of running.

The stored outputs are those in the notebooks' files, found by the text of the cell.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import EllipsisType
from typing import Any

MARK = "# needs root"
_NOTE = "workbench-note"


def replace_cells(reason: str) -> None:
    """From now on IPython shows the recorded output of the cells that need root."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return

    def transform(lines: list[str]) -> list[str]:
        if not lines or lines[0].strip() != MARK:
            return lines
        text = "".join(lines)
        return [f'__import__("workbench.recorded").recorded.show({text!r}, {reason!r})\n']

    shell.input_transformers_cleanup.append(transform)


def show(source: str, reason: str) -> None:
    """Say in one line that the cell was not run, then show what is stored of it."""
    outputs = find(source)
    what = "here is what was recorded" if outputs else "nothing was recorded for this text"
    _publish({"text/plain": f"This cell needs root ({reason}): {what}."}, {_NOTE: True})
    for output in outputs:
        if output["output_type"] == "stream":
            print("".join(output["text"]), end="")
        elif "data" in output and _NOTE not in output.get("metadata", {}):
            joined = {kind: _joined(value) for kind, value in output["data"].items()}
            _publish(joined, output.get("metadata", {}))


def _publish(data: dict[str, Any], metadata: dict[str, Any]) -> None:
    from IPython.display import display

    display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]


def _joined(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) else value


def find(source: str) -> list[dict[str, Any]]:
    """The stored outputs of the cell with this text; none if no notebook has it."""
    for cell in _cells():
        if _text(cell["source"]) == _text(source) and cell.get("outputs"):
            return list(cell["outputs"])
    return []


def _cells() -> Iterator[dict[str, Any]]:
    for path in sorted(Path(__file__).parents[1].glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "code":
                yield cell


def _text(source: str | list[str]) -> str:
    lines = "".join(source).splitlines()
    return "\n".join(line.rstrip() for line in lines).strip()


def guess(guessed: Any, measured: Any, unit: str = "") -> None:
    """Put the reader's guess beside what was measured; ``...`` is no guess."""
    unit = f" {unit}" if unit else ""
    if isinstance(guessed, EllipsisType):
        print(f"You made no guess. It is: {measured}{unit}")
    elif guessed == measured:
        print(f"You guessed {guessed}{unit}, and so it is.")
    else:
        print(f"You guessed {guessed}{unit}. It is: {measured}{unit}")
