"""The modules of a command in one file: a start reads that, and not two files for each module.

Python looks for each module in the folders of the import path, compares the times of its source and
of its ``.pyc``, and reads the latter: 50 microseconds, of which a run has two hundred. The first
run of a command writes all that it imported into one file beside the other compiled ones, and the
next runs find it there.

It is used as a whole or not at all: for the same interpreter and import path, and as long as every
source has the time and size that it had. After any change the old way is gone, and a new file
written. Nothing depends on it: remove it, and a start takes some milliseconds longer.
"""

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from types import ModuleType
from typing import Any

# Those that are waited for. A file has one to two megabytes, so not every command gets one.
COMMANDS = ("exec", "ps", "run")
_MANY = 8  # modules; fewer new ones are not worth a new file

# of a module: its source, its time and size, is it a package, where in the file its code is
Entry = tuple[str, int, int, bool, int, int]

_path = ""
_entries: dict[str, Entry] = {}
_content = memoryview(b"")


def use(directory: str, step: int) -> None:
    """Import from the file of this step's command, if there is one and it is true."""
    global _path, _content
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word not in COMMANDS or sys.flags.optimize or sys.dont_write_bytecode:
        return
    _path = f"{directory}/__pycache__/{step}-{word}.{sys.implementation.cache_tag}.snapshot"
    try:
        with open(_path, "rb") as file:
            content = memoryview(file.read())
        if int.from_bytes(content[:8], "little") != len(content):  # half a file
            return
        made_for, entries = marshal.loads(content[8:])  # which stops behind them; the codes follow
        if made_for != _here() or any(_version(e[0]) != (e[1], e[2]) for e in entries.values()):
            return
    except (OSError, EOFError, ValueError, TypeError):
        return
    _entries.update(entries)
    _content = content
    finder: Any = _Finder
    sys.meta_path.insert(0, finder)


def _here() -> list[Any]:
    return [sys.version, sys.path, *_version(__file__)]  # the last: the file's form may change


def _version(source: str) -> tuple[int, int]:
    status = os.stat(source)
    return status.st_mtime_ns, status.st_size


class _Finder:
    """Finder and loader in one (PEP 451), in front of Python's own."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        entry = _entries.get(name)
        if entry is None:
            return None
        loader: Any = _Finder
        spec = ModuleSpec(name, loader, origin=entry[0], is_package=entry[3])
        if entry[3]:
            spec.submodule_search_locations = [os.path.dirname(entry[0])]
        return spec

    @staticmethod
    def create_module(spec: Any) -> None:
        return None  # the usual

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        module.__file__ = _entries[module.__name__][0]
        exec(marshal.loads(_code(module.__name__)), module.__dict__)


def _code(name: str) -> memoryview:
    at, length = _entries[name][4:]
    return _content[len(_content) - at :][:length]


def save() -> None:
    """After a run that went well: write the file, if it is missing, untrue or lacks much."""
    if not _path or not os.access(os.path.dirname(_path), os.W_OK):
        return
    others = sys.modules.keys() - _entries.keys() - _BEFORE
    fresh = [found for name in others if (found := _found(name, sys.modules[name]))]
    if len(fresh) <= _MANY:
        return
    kept = [(name, entry[:4], bytes(_code(name))) for name, entry in _entries.items()]
    entries: dict[str, Entry] = {}
    after = 0  # counted from the end of the file, as how long the entries are is not yet known
    for name, entry, code in reversed(kept + fresh):
        after += len(code)
        entries[name] = (*entry, after, len(code))
    index, new = marshal.dumps((_here(), entries)), f"{_path}.{os.getpid()}"
    try:
        with open(new, "xb") as file:
            file.write((8 + len(index) + after).to_bytes(8, "little") + index)
            file.writelines(code for _, _, code in kept + fresh)
        os.rename(new, _path)
    except OSError:
        return  # nobody but the owner of the sources may write there


def _found(name: str, module: ModuleType) -> tuple[str, tuple[str, int, int, bool], bytes] | None:
    """What is to be kept of a module that Python imported from a source and a true ``.pyc``."""
    spec: Any = getattr(module, "__spec__", None)
    source, compiled = getattr(spec, "origin", None), getattr(spec, "cached", None)
    if not source or not compiled or spec.name != name or not source.endswith(".py"):
        return None
    try:
        time, size = _version(source)
        with open(compiled, "rb") as file:
            data = file.read()
    except OSError:
        return None
    numbers = [int.from_bytes(data[at : at + 4], "little") for at in (4, 8, 12)]
    if numbers != [0, int(time / 1e9) & 0xFFFFFFFF, size & 0xFFFFFFFF]:  # flags, time, size
        return None
    return name, (source, time, size, hasattr(module, "__path__")), data[16:]


_BEFORE = {*sys.modules}  # what is there before any finder of ours
