#!/usr/bin/env python3
"""Make the notebooks: run the texts in source/ from a clean kernel, and store what came out.

    sudo python3 notebooks/build.py                  all of them, into notebooks/
    sudo python3 notebooks/build.py 02-cgroups       one of them
    python3 notebooks/build.py --to DIR proc         somewhere else
    python3 notebooks/build.py --take proc           the cells of proc.ipynb become source/proc.py

source/NAME.py is what to edit, and what a diff is read in (jupytext's percent format: a line
``# %%`` begins a cell). --take is for those who rather edit in JupyterLab.
The exit code is 1 if a cell raised an error.
"""

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCE = HERE / "source"
_TIMEOUT = 400  # seconds for one cell: in an emulated machine all is slow
_EPHEMERAL = re.compile(r"(mydocker-test-\d+/)?(mydocker-)?notebook-\d+-\d+")
# Neither a version nor a time is stored: the notebook changes when its text or its outputs do.
_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"},
}


def names() -> list[str]:
    """All notebooks."""
    return sorted(path.stem for path in SOURCE.glob("*.py"))


def read(name: str) -> Any:
    """The notebook in ``source/NAME.py``: cells without outputs."""
    import jupytext  # type: ignore[import-untyped]

    notebook = jupytext.read(SOURCE / f"{name}.py")
    notebook.metadata = _METADATA
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{name}-{number}"
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags"}
    return notebook


def run(notebook: Any) -> None:
    """Run all cells from a clean kernel, which ends afterwards. Raises CellExecutionError."""
    from nbclient import NotebookClient
    from traitlets.config import Config

    with tempfile.TemporaryDirectory() as place:
        # Neither settings nor a history of whoever builds.
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            os.environ[name] = place
        os.environ["MYDOCKER_LABS"] = place  # a copy of whoever builds is not ours to check
        resources = {"metadata": {"path": str(HERE)}}
        by_socket = Config({"KernelManager": {"transport": "ipc", "ip": f"{place}/kernel"}})
        client = NotebookClient(notebook, timeout=_TIMEOUT, resources=resources, config=by_socket)
        client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            mask(output)
    notebook.metadata = _METADATA


def mask(output: Any) -> None:
    """Take out what belongs to this machine: where the project lies, names made of pids."""
    if "text" in output:
        output["text"] = masked(output["text"])
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/"):
            output["data"][kind] = masked(value)


def masked(text: str) -> str:
    """The text with those names replaced."""
    project = "/home/you/mydocker"
    labs = os.environ.get("MYDOCKER_LABS", ROOT)
    for path, shown in ((labs, project), (sys.prefix, f"{project}/.venv"), (ROOT, project)):
        text = text.replace(f"{path}/", f"{shown}/").replace(str(path), shown)
    return _EPHEMERAL.sub("mydocker-notebook", text)


def take(name: str) -> None:
    """Write the cells of ``NAME.ipynb`` to ``source/NAME.py``."""
    import jupytext

    notebook = jupytext.read(HERE / f"{name}.ipynb")
    notebook.metadata = {}
    jupytext.write(notebook, SOURCE / f"{name}.py", fmt="py:percent")


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    parser.add_argument("--to", type=Path, default=HERE, metavar="DIR", help="where to write")
    parser.add_argument("--take", action="store_true", help="from the notebook to its source")
    arguments = parser.parse_args()
    for name in arguments.names or names():
        if name not in names():
            parser.error(f"no notebook is called '{name}'; there are: {' '.join(names())}")
        if arguments.take:
            take(name)
        elif not build(name, arguments.to):
            return 1
    return 0


def build(name: str, to: Path) -> bool:
    """Run one notebook and write it; False if a cell raised an error, which is then shown."""
    import nbformat
    from nbclient.exceptions import CellExecutionError

    notebook = read(name)
    try:
        run(notebook)
    except CellExecutionError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    nbformat.write(notebook, to / f"{name}.ipynb")  # type: ignore[no-untyped-call]
    return True


def _in_the_environment() -> None:
    """Go on in the project's virtual environment, which has what is needed."""
    venv = Path(os.environ.get("MYDOCKER_VENV") or ROOT / ".venv")
    python = venv / "bin" / "python3"
    if Path(sys.prefix).resolve() != venv.resolve() and python.exists():
        os.execv(python, [str(python), *sys.argv])


if __name__ == "__main__":
    _in_the_environment()
    sys.exit(main())
