"""Stack the layers: the steps' folders on Python's import path, as overlay2 stacks `lowerdir`s.

`mydocker` is a namespace package (PEP 420): each step contributes some of its modules, and the
import path decides which steps can be seen. Every step's `main.py` begins with

    import sys

    sys.path.insert(0, __file__.rsplit("/", 2)[0])
    from layers import stack

    stack(3)

and so sees the steps 1 to 3, and nothing of what is built later.
"""

import packages  # isort: skip  # first of all: it sees to Ctrl-C
import os
import sys

try:
    from fast_start import quicken
except ModuleNotFoundError:  # that file may be deleted

    def quicken(directory: str, step: int) -> None:
        """Start as any Python program does."""


STEPS = os.path.dirname(__file__)


def stack(last: int, *above: str, packages_needed: bool = True) -> None:
    """Put the steps 1..`last`, and the packages that they need, on the import path.

    ``above``: further layers, folders beside `steps`, that stand on top of these. A program that
    needs no package, as it reads its command line itself, imports none.
    """
    numbered = [name for name in sorted(os.listdir(STEPS)) if name[:2].isdigit()]
    layers = [os.path.join(STEPS, name) for name in numbered if int(name[:2]) <= last]
    layers += [os.path.join(os.path.dirname(STEPS), name) for name in above]
    # Whatever points into the steps goes first: the folder of the script, this file's own, and
    # later steps that an editable installation has put on the path.
    path = [entry for entry in sys.path if not f"{entry}/".startswith(f"{STEPS}/")]
    # After the standard library, which is asked most; before packages of the distribution, which
    # may be other versions than the ones that were tested.
    after = next((i for i, entry in enumerate(path) if entry.endswith("-packages")), len(path))
    sys.path[:] = [*path[:after], *layers, packages.directory(), *path[after:]]
    if packages_needed:
        packages.check()
        quicken(STEPS, last)
