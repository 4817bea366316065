"""Stack the layers: the steps' folders on Python's import path, as overlay2 stacks `lowerdir`s.

`mydocker` is a namespace package (PEP 420): each step contributes some of its modules, and the
import path decides which steps can be seen. Every step's `main.py` begins with

    import sys

    sys.path.insert(0, __file__.rsplit("/", 2)[0])
    from layers import stack

    stack(3)

and so sees the steps 1 to 3, and nothing of what is built later.

This runs at every start: nothing is imported here that a run could do without.
"""

import _signal  # type: ignore[import-not-found]  # built in: signal would be an import
import gc
import os
import sys

import snapshot
from stand_ins import import_click

# What is imported stays: looking through it for garbage again and again, as the import goes on, is
# a tenth of the whole start. With this, the collector looks when a hundred thousand objects came.
gc.set_threshold(100_000)

STEPS = os.path.dirname(__file__)
ROOT = os.path.dirname(STEPS)
NEEDED = ("click", "rich", "psutil")


def stack(last: int, *above: str) -> None:
    """Put the steps 1..`last`, and the packages that they need, on the import path.

    ``above``: further layers, folders beside `steps`, that stand on top of these.
    """
    # Ctrl-C while the rest is imported just ends us, without a traceback. `main` undoes this.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    venv = os.environ.get("MYDOCKER_VENV") or os.path.join(ROOT, ".venv")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    layers = [
        os.path.join(STEPS, name)
        for name in sorted(os.listdir(STEPS))
        if name[:2].isdigit() and int(name[:2]) <= last
    ]
    layers += [os.path.join(ROOT, name) for name in above]
    # Whatever points into the steps goes first: the folder of the script, this file's own, and
    # later steps that an editable installation has put on the path.
    path = [entry for entry in sys.path if not f"{entry}/".startswith(f"{STEPS}/")]
    # After the standard library, which is asked most; before packages of the distribution, which
    # may be other versions than the ones that were tested.
    after = next((i for i, entry in enumerate(path) if entry.endswith("-packages")), len(path))
    path[after:after] = [*layers, os.path.join(venv, "lib", version, "site-packages")]
    sys.path[:] = path
    snapshot.use(STEPS, last)

    missing = [name for name in NEEDED if not _importable(name)]
    if missing:
        sys.stderr.write(f"mydocker: {_what_to_do(missing, venv, version)}\n")
        sys.exit(125)
    import_click()


def _importable(name: str) -> bool:
    """Ask the import system's own finders, which is cheaper than to import `importlib.util`."""
    return any(finder.find_spec(name, None) for finder in sys.meta_path)


def _what_to_do(missing: list[str], venv: str, version: str) -> str:
    if sys.version_info < (3, 11):
        return f"needs Python 3.11 or newer, and this is {version}; try: /usr/bin/python3"
    python = os.path.join(venv, "bin", "python3")
    if os.access(python, os.X_OK) and not os.path.isdir(os.path.join(venv, "lib", version)):
        return f"set up for another Python than this {version}; run it with: {python}"
    return f"missing: {', '.join(missing)}; to install, run in {ROOT}: ./mydocker setup"
