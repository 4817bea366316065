"""What pytest, the tests and Python's own modules consist of: for those who judge hostile code.

A photograph has each function and class of each module, by its name, with the code that it runs. A
test may replace some for its own time (``monkeypatch``); after its end they are there again.
"""

import builtins
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

Photograph = dict[str, tuple[object, ...]]

_CALLED = (FunctionType, BuiltinFunctionType, type, classmethod, staticmethod, property)
# Python's own that tests and judge rely on; of pytest and the tests, all
_MODULES = (
    "builtins", "hmac", "io", "json", "json.encoder", "operator", "os", "pathlib", "re", "secrets",
    "select", "shutil", "signal", "socket", "subprocess", "time",
)  # fmt: skip
_TOPS = ("_pytest", "pytest", "pluggy", "sandbox", "psutil", "conftest", "test_", "tests")


def photograph() -> Photograph:
    """What there is now."""
    found: Photograph = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and _is_judge(name, module):
            for attribute, value in list(vars(module).items()):
                _take(found, f"{name}.{attribute}", value)
    found["sys.settrace"] = (sys.gettrace(), sys.getprofile(), sys.modules is _modules)
    found["__import__"] = (builtins.__import__, builtins.__build_class__)
    return found


_modules = sys.modules


def changes(before: Photograph) -> list[str]:
    """The names of what has become another thing since. What is new is none: modules are loaded."""
    now = photograph()
    return [name for name, was in before.items() if not _same(was, now.get(name))]


def _same(was: tuple[object, ...], now: tuple[object, ...] | None) -> bool:
    return now is not None and all(a is b for a, b in zip(was, now, strict=True))


def _is_judge(name: str, module: ModuleType) -> bool:
    if name in _MODULES or name.partition(".")[0].startswith(_TOPS):
        return True
    return "/repository/tests/" in (getattr(module, "__file__", None) or "")


def _take(found: Photograph, name: str, value: Any) -> None:
    if not isinstance(value, _CALLED):
        return
    found[name] = (value, *_code(value))
    if isinstance(value, type):
        for attribute, inner in list(vars(value).items()):
            if isinstance(inner, _CALLED):
                found[f"{name}.{attribute}"] = (inner, *_code(inner))


def _code(value: Any) -> Iterator[object]:
    """What a function runs: it can be exchanged, and the function stays the same."""
    for one in (value, getattr(value, "__func__", None), getattr(value, "fget", None)):
        if isinstance(one, FunctionType):
            yield from (one.__code__, one.__defaults__)
