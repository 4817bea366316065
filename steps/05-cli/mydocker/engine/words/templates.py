"""Go's text/template, which ``--format`` is written in: filled in with a value.

All of it: fields, ``(…).Field``, variables, pipes, ``if``, ``with``, ``range`` with ``break`` and
``continue``, ``define``, ``template`` and ``block``, comments, ``{{-`` and ``-}}``; the functions
are in :mod:`mydocker.engine.words.functions`, the reader in :mod:`mydocker.engine.words.reading`,
and what values look like in :mod:`mydocker.engine.words.govalues`. See pkg.go.dev/text/template.

A template is read once, and may then be filled in for many values.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

from mydocker.engine.words import reading
from mydocker.engine.words.functions import FUNCTIONS, TITLES
from mydocker.engine.words.govalues import (
    MISSING,
    Missing,
    Nil,
    Row,
    Struct,
    Wrong,
    compact,
    raw,
    shown,
    true,
    type_name,
)
from mydocker.kernel.errors import Invalid

__all__ = ["BAD_TEMPLATE", "Template", "compact", "shown"]

BAD_TEMPLATE = 64  # Docker's exit code where a template cannot be read
_MOST = 10_000_000  # rounds of a loop over a number, and templates in templates


class _Located(Exception):
    """What went wrong, with the place in the template."""


class _Leaving(Exception):
    """``break`` or ``continue``, on its way to the loop."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Filling:
    """One filling in: the value, and the variables as they are at this place."""

    def __init__(self, template: "Template", value: Any, strict: bool) -> None:
        self._templates = template.templates
        self._functions = template.functions
        self._strict = strict  # a key that is not there is an error
        self._variables: list[tuple[str, Any]] = [("$", value)]

    # ------------------------------------------------------------ nodes

    def all(self, nodes: Sequence[reading.Node], dot: Any) -> Iterator[str]:
        for node in nodes:
            yield from self._one(node, dot)

    def _one(self, node: reading.Node, dot: Any) -> Iterator[str]:
        match node:
            case reading.Text():
                yield node.said
            case reading.Action():
                value = self.pipeline(node.pipeline, dot)
                if not node.pipeline.variables:
                    if callable(value):
                        raise self._wrong(
                            node.pipeline, f"can't print {node.pipeline.text} of type func"
                        )
                    yield shown(value)
            case reading.Block():
                yield from self._block(node, dot)
            case reading.Leave():
                raise _Leaving(node.kind)
            case reading.Template():
                yield from self._template(node, dot)

    def _template(self, node: reading.Template, dot: Any) -> Iterator[str]:
        if node.name not in self._templates:
            raise self._wrong(node, f'template "{node.name}" not defined')
        value = self.pipeline(node.pipeline, dot) if node.pipeline else MISSING
        kept, self._variables = self._variables, [("$", value)]
        yield from self.all(self._templates[node.name], value)
        self._variables = kept

    def _block(self, node: reading.Block, dot: Any) -> Iterator[str]:
        depth = len(self._variables)
        value = self.pipeline(node.pipeline, dot, declare=node.kind != "range")
        if node.kind == "range":
            yield from self._range(node, value, dot)
        elif true(value):
            yield from self.all(node.body, value if node.kind == "with" else dot)
        else:
            yield from self.all(node.otherwise, dot)
        del self._variables[depth:]

    def _range(self, node: reading.Block, value: Any, dot: Any) -> Iterator[str]:
        depth, empty = len(self._variables), True
        for key, one in self._pairs(node, value):
            empty = False
            names = node.pipeline.variables
            found = (key, one) if len(names) == 2 else (one,)
            for name, each in zip(names, found, strict=False):
                if node.pipeline.assigns:
                    self._assign(node.pipeline, name, each)
                else:
                    self._variables.append((name, each))
            try:
                yield from self.all(node.body, one)
            except _Leaving as leaving:
                if leaving.kind == "break":
                    break
            finally:
                del self._variables[depth:]
        if empty:
            yield from self.all(node.otherwise, dot)

    def _pairs(self, node: reading.Block, value: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(value, Mapping) and not isinstance(value, Struct):
            return iter([(key, value[key]) for key in sorted(value)])
        if isinstance(value, list | tuple):
            return iter(list(enumerate(value)))
        if isinstance(value, int) and not isinstance(value, bool):
            return ((number, number) for number in range(min(value, _MOST)))
        if value is None or isinstance(value, Missing | Nil):
            return iter(())
        raise self._wrong(node.pipeline, f"range can't iterate over {shown(value)}")

    # ------------------------------------------------------------ values

    def pipeline(self, node: reading.Pipeline, dot: Any, declare: bool = True) -> Any:
        last: tuple[Any, ...] = ()
        for call in node.commands:
            last = (self._command(call, dot, last),)
        (value,) = last
        for name in node.variables if declare else ():
            if node.assigns:
                self._assign(node, name, value)
            else:
                self._variables.append((name, value))
        return value

    def _assign(self, node: reading.Node, name: str, value: Any) -> None:
        for number in range(len(self._variables) - 1, -1, -1):
            if self._variables[number][0] == name:
                self._variables[number] = (name, value)
                return
        raise self._wrong(node, f"undefined variable: {name}")

    def _variable(self, name: str) -> Any:
        return next(value for known, value in reversed(self._variables) if known == name)

    def _command(self, call: reading.Call, dot: Any, last: tuple[Any, ...]) -> Any:
        first, *rest = call.words
        match first:
            case reading.Word():
                return self._function(call, first, rest, dot, last)
            case reading.Path() | reading.Chain():
                return self._fields(first, dot, rest, last)
        if rest or last:
            raise self._wrong(first, f"can't give argument to non-function {first.text}")
        if isinstance(first, reading.Constant) and first.value is None:
            raise self._wrong(first, "nil is not a command")
        return self._value(first, dot)

    def _value(self, node: reading.Node, dot: Any) -> Any:
        match node:
            case reading.Constant():
                return node.value
            case reading.Dot():
                return dot
            case reading.Pipeline():
                return self.pipeline(node, dot)
            case reading.Word():
                return self._function(node, node, [], dot, ())
        return self._fields(node, dot, [], ())

    def _fields(
        self, node: reading.Node, dot: Any, rest: Sequence[reading.Node], last: tuple[Any, ...]
    ) -> Any:
        match node:
            case reading.Path():
                value = self._variable(node.variable) if node.variable else dot
                names = node.names
            case reading.Chain():
                value, names = self._value(node.of, dot), node.names
                if value is None:
                    raise self._wrong(node, f"nil pointer evaluating interface {{}}.{names[0]}")
            case _:
                raise AssertionError(node)
        for name in names[:-1]:
            value = self._field(node, value, name, ())
        values = [self._value(word, dot) for word in rest] + list(last)
        if not names:
            if values:
                raise self._wrong(node, f"can't give argument to non-function {node.text}")
            return value
        return self._field(node, value, names[-1], values)

    def _field(self, node: reading.Node, value: Any, name: str, values: Sequence[Any]) -> Any:
        """A field, or what a method of that name says of ``values``."""
        if isinstance(value, Missing):
            return MISSING
        if value is None or (isinstance(value, Nil) and value.kind == "pointer"):
            raise self._wrong(node, f"nil pointer evaluating interface {{}}.{name}")
        try:
            found = (
                value.field(name) if isinstance(value, Struct | Row) else self._of_map(value, name)
            )
        except Wrong as wrong:
            raise self._wrong(node, str(wrong)) from None
        if callable(found):
            return self._called(node, name, found, values)
        if values:
            raise self._wrong(node, f"{name} is not a method but has arguments")
        return found

    def _of_map(self, value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            if name in value:
                return value[name]
            if self._strict:
                raise Wrong(f'map has no entry for key "{name}"')
            return MISSING
        if isinstance(value, Nil) and value.kind == "map":
            return MISSING
        raise Wrong(f"can't evaluate field {name} in type {type_name(value)}")

    def _function(
        self,
        node: reading.Node,
        word: reading.Word,
        rest: Sequence[reading.Node],
        dot: Any,
        last: tuple[Any, ...],
    ) -> Any:
        function = self._functions[word.name]
        if word.name in ("and", "or") and rest:
            value: Any = None
            for argument in rest:
                value = self._value(argument, dot)
                if true(value) == (word.name == "or"):
                    return value
            return last[0] if last else value
        if word.name in ("and", "or") and not last:
            message = f"wrong number of args for {word.name}: want at least 1 got 0"
            raise self._wrong(word, message)
        values = [self._value(argument, dot) for argument in rest] + list(last)
        return self._called(node, word.name, function, values, word)

    def _called(
        self,
        node: reading.Node,
        name: str,
        function: Callable[..., Any],
        values: Sequence[Any],
        word: reading.Node | None = None,
    ) -> Any:
        try:
            signature(function).bind(*values)
        except TypeError:
            asked = [
                p for p in signature(function).parameters.values() if p.kind != p.VAR_POSITIONAL
            ]
            most = len(asked) == len(signature(function).parameters)
            wanted = f"{'' if most else 'at least '}{len(asked)}"
            message = f"wrong number of args for {name}: want {wanted} got {len(values)}"
            raise self._wrong(word or node, message) from None
        except ValueError:
            pass  # a function that Python cannot look into
        try:
            return function(*values)
        except Wrong as wrong:
            raise self._wrong(node, f"error calling {name}: {wrong}") from None
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            raise self._wrong(node, f"error calling {name}: {error}") from None

    def _wrong(self, node: reading.Node, message: str) -> _Located:
        return _Located(f':{node.place}: executing "" at <{node.text}>: {message}')


class Template:
    """A template that was read. Raises Invalid for one that is wrong.

    ``titles``: for the line above a table, whose columns no function changes.
    """

    def __init__(self, text: str, titles: bool = False, failed: int = 1) -> None:
        self.functions = TITLES if titles else FUNCTIONS
        try:
            parser = reading.Parser(text, self.functions)
        except Wrong as wrong:
            raise _refused(f"template: :1: {wrong}", failed) from None
        except RecursionError:
            raise _refused("template: :1: nested too deeply", failed) from None
        self._nodes, self.templates = parser.root, parser.templates

    def __call__(self, value: Any) -> str:
        """The template filled in. Raises Invalid for a field that is not there."""
        return self._filled(value, strict=not isinstance(value, Struct))

    def told(self, value: Any) -> str:
        """As ``inspect`` does it: with Go's types, and if that fails with JSON's."""
        try:
            return self._filled(value, strict=False)
        except Invalid:
            return self._filled(raw(value), strict=True)

    def _filled(self, value: Any, strict: bool) -> str:
        try:
            return "".join(_Filling(self, value, strict).all(self._nodes, value))
        except _Located as located:
            raise _refused(f"template: {located}", 1) from None
        except RecursionError:
            raise _refused("template: :1: executing: exceeded maximum template depth", 1) from None


def _refused(message: str, code: int) -> Invalid:
    refused = Invalid(f"template parsing error: {message}")
    refused.exit_code = code
    return refused
