"""The packages that the steps stand on, and what to say where they are missing.

This runs at every start: nothing is imported here that a run could do without.
"""

import _signal  # type: ignore[import-not-found]  # built in: signal would be an import

# Ctrl-C until all is imported just ends us, without a traceback: from here on, before anything else
# is imported. `commandline.main` undoes this.
if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import os
import sys

ROOT = os.path.dirname(os.path.dirname(__file__))
NEEDED = ("click", "rich", "psutil")
_VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def _environment() -> str:
    return os.environ.get("MYDOCKER_VENV") or os.path.join(ROOT, ".venv")


def directory() -> str:
    """Where the virtual environment has its packages."""
    return os.path.join(_environment(), "lib", _VERSION, "site-packages")


def check() -> None:
    """End with a line that says what to do if a package is missing; else they may be imported."""
    # Where they are if the set-up put them there: that is asked first, as to search takes longer.
    absent = [name for name in NEEDED if not os.path.isdir(os.path.join(directory(), name))]
    missing = [name for name in absent if not _importable(name)]
    if missing:
        sys.stderr.write(f"mydocker: {_what_to_do(missing)}\n")
        sys.exit(125)


def _importable(name: str) -> bool:
    """Ask the import system's own finders, which is cheaper than to import `importlib.util`."""
    return any(finder.find_spec(name, None) for finder in sys.meta_path)


def _what_to_do(missing: list[str]) -> str:
    if sys.version_info < (3, 11):  # noqa: UP036  (one clear line instead of a traceback)
        return f"needs Python 3.11 or newer, and this is {_VERSION}; try: /usr/bin/python3"
    environment = _environment()
    python = os.path.join(environment, "bin", "python3")
    if os.access(python, os.X_OK) and not os.path.isdir(os.path.join(environment, "lib", _VERSION)):
        return f"set up for another Python than this {_VERSION}; run it with: {python}"
    return f"missing: {', '.join(missing)}; to install, run in {ROOT}: ./mydocker setup"
