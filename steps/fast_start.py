"""What makes a start fast. Delete this file, and everything works as before, only slower.

A command like ``run`` is over in a few hundredths of a second, and most of that is not the
container: it is Python, which imports two hundred modules. Three things are done about it here, one
after the other, each without the others:

1. the garbage collector looks less often;
2. click is imported without a part of what it imports itself, see ``import_click``;
3. the modules of a command are read from one file, see ``use_snapshot``.

How much each of them saves is told, and measured, in ``chapters/appendix-fast-start.md``. This runs
at every start, before there is a snapshot: nothing is imported here but what is built in.
"""

import _datetime  # type: ignore[import-not-found]
import _thread
import gc
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing has it, which is one of the modules to come fast
    from types import ModuleType
    from typing import Any
else:
    ModuleType = type(sys)

_BEFORE = {*sys.modules}  # what is there before any finder of ours


def quicken(directory: str, step: int) -> None:
    """Make the imports to come fast. ``directory`` is that of the steps, ``step`` the last one."""
    # What is imported stays: looking through it for garbage again and again, as the import goes on,
    # takes time and finds nothing. With this, the collector looks at every hundred thousand objects
    # instead of at every seven hundred.
    gc.set_threshold(100_000)
    use_snapshot(directory, step)
    import_click()


# ---------------------------------------------------------------- click without what it imports
#
# click imports a good part of the standard library, and a run needs a few names of it. ``inspect``
# alone, with ``ast``, ``dis`` and ``tokenize`` behind it, is imported for one function of three
# lines. So while click is imported, modules that have only these few names stand in for the real
# ones. Whoever asks a stand-in for any other name gets it from the real module, which is imported
# then; for everybody but click nothing is different.


def import_click() -> None:
    """Import click, with stand-ins for the modules that it hardly uses."""
    absent = {name: names for name, names in _NEEDED.items() if name not in sys.modules}
    standing = [_StandIn(name, names) for name, names in absent.items()]
    sys.modules.update({module.__name__: module for module in standing})
    try:
        import click  # noqa: F401
    finally:
        for module in standing:
            module.step_down()


class _StandIn(ModuleType):
    def __init__(self, name: str, names: "dict[str, Any]") -> None:
        super().__init__(name)
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> "Any":  # which Python calls for what is not there
        if name.startswith("__"):  # is it a package? and the like
            raise AttributeError(name)
        self.step_down()
        __import__(self.__name__)
        return getattr(sys.modules[self.__name__], name)

    def step_down(self) -> None:
        """From now on, who imports this module gets the real one; click has us, and asks us."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        if self.__name__ == "uuid":
            self.__dict__.pop("UUID", None)


def _cleandoc(text: str) -> str:
    """``inspect.cleandoc``: our options' help texts have one line, where there is little to do."""
    if "\n" not in text and "\t" not in text:
        return text.strip()
    from inspect import cleandoc

    return cleandoc(text)


def _as_it_is(text: str) -> str:
    return text


def _plural(one: str, more: str, number: int) -> str:
    return one if number == 1 else more


_NEEDED: "dict[str, dict[str, Any]]" = {
    "datetime": {"datetime": _datetime.datetime},  # the whole class; the rest of the file is not
    "gettext": {"gettext": _as_it_is, "ngettext": _plural},  # click comes without translations
    "inspect": {"cleandoc": _cleandoc},
    "threading": {"local": _thread._local},
    "uuid": {"UUID": object},  # as the type of an option that we do not have
}


# ---------------------------------------------------------------- the modules of a command in one
# file
#
# Python looks for each module in the folders of the import path, compares the time and size of its
# source with what its ``.pyc`` was made from, and reads the ``.pyc``. The first run of a command
# writes all that it imported into one file beside the other compiled ones, and the next runs read
# that, and no other.
#
# The file is used as a whole or not at all: for the same interpreter and import path, and as long
# as every source has the time and size that it had. After any change, Python's own way is taken,
# and a new file written. Nothing depends on it: it can be removed at any time.

# The commands that people wait for. A file has one to two megabytes, so not every command gets one.
COMMANDS = ("exec", "ps", "run")
_MANY = 8  # modules; fewer new ones are not worth a new file

# of a module: its source, its time and size, is it a package, where in the file its code is
Entry = tuple[str, int, int, bool, int, int]

_path = ""
_entries: dict[str, Entry] = {}
_content = memoryview(b"")


def use_snapshot(directory: str, step: int) -> None:
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


def _here() -> "list[Any]":
    return [sys.version, sys.path, *_version(__file__)]  # the last: the file's form may change


def _version(source: str) -> tuple[int, int]:
    status = os.stat(source)
    return status.st_mtime_ns, status.st_size


class _Finder:
    """Finder and loader in one (PEP 451), in front of Python's own."""

    @staticmethod
    def find_spec(name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        entry = _entries.get(name)
        if entry is None:
            return None
        loader: Any = _Finder
        spec = ModuleSpec(name, loader, origin=entry[0], is_package=entry[3])
        if entry[3]:
            spec.submodule_search_locations = [os.path.dirname(entry[0])]
        return spec

    @staticmethod
    def create_module(spec: "Any") -> None:
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
