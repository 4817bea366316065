"""click imports a good part of the standard library, and a run needs a few names of it.

``inspect`` alone, with ``ast``, ``dis`` and ``tokenize`` behind it, is a tenth of the whole start,
for one function of three lines. So while click is imported, modules that have only the few names
stand in for the real ones. Whoever asks a stand-in for any other name gets it from the real module,
which is imported then; for everybody but click nothing is different.
"""

import _datetime  # type: ignore[import-not-found]
import _thread
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


def import_click() -> None:
    """Import click, without what it imports in vain."""
    absent = {name: names for name, names in _NEEDED.items() if name not in sys.modules}
    standing = [_StandIn(name, names) for name, names in absent.items()]
    sys.modules.update({module.__name__: module for module in standing})
    try:
        import click  # noqa: F401
    finally:
        for module in standing:
            module.step_down()


class _StandIn(ModuleType):
    def __init__(self, name: str, names: dict[str, Any]) -> None:
        super().__init__(name)
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:  # which Python calls for what is not there
        if name.startswith("__"):  # is it a package? and the like
            raise AttributeError(name)
        self.step_down()
        return getattr(import_module(self.__name__), name)

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
    cleandoc: Callable[[str], str] = import_module("inspect").cleandoc
    return cleandoc(text)


def _as_it_is(text: str) -> str:
    return text


def _plural(one: str, more: str, number: int) -> str:
    return one if number == 1 else more


_NEEDED: dict[str, dict[str, Any]] = {
    "datetime": {"datetime": _datetime.datetime},  # the whole class; the rest of the file is not
    "gettext": {"gettext": _as_it_is, "ngettext": _plural},  # click comes without translations
    "inspect": {"cleandoc": _cleandoc},
    "threading": {"local": _thread._local},
    "uuid": {"UUID": object},  # as the type of an option that we do not have
}
