"""How a command line is read: Docker's grammar of options, which is that of Go's pflag.

``--name=web``, ``--name web``, ``-h=box``, ``-h box``, ``-hbox``; ``--rm``, ``--rm=false``;
``-itd``, ``-itd=false``, where the value belongs to the last letter. A switch takes a value only
behind an ``=``. ``--`` ends the options. Options may stand behind the arguments, unless the command
hands what follows its first argument on (``allow_interspersed_args``), as ``run`` does. No option
can be abbreviated. What is wrong is said in Docker's words, and with its exit codes: 125 for an
option, 1 for a wrong number of arguments. See pkg.go.dev/github.com/spf13/pflag.

Every command has this from :class:`Command`, and reads a command line in no other way.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from mydocker.kernel.errors import CANNOT_RUN, Failure, one_line

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_SHORT_HELP = "-h"


class WrongUse(click.UsageError):
    """What somebody typed is no use of the command.

    One line: Docker's words, then what to do: ``advice``, which may be empty, and where to read on.
    """

    def __init__(self, message: str, ctx: click.Context, exit_code: int, advice: str = "") -> None:
        super().__init__(message, ctx)
        self.code = exit_code
        self.advice = advice

    def told(self) -> str:
        assert self.ctx is not None
        advice = f". {self.advice}" if self.advice else ""
        return one_line(f"{self.message}{advice}. See '{self.ctx.command_path} --help'")


def wrong_option(message: str, ctx: click.Context, advice: str = "") -> WrongUse:
    """An option that is not there, or has no or a wrong value."""
    return WrongUse(message, ctx, CANNOT_RUN, advice)


class Option(click.Option):
    """An option with further spellings that ``--help`` does not show: Docker's old names.

    ``also``: taken as any other. ``outdated``: taken too, and told that they are.
    """

    def __init__(
        self, *args: Any, also: Sequence[str] = (), outdated: Sequence[str] = (), **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self.also = (*also, *outdated)
        self.outdated = tuple(outdated)


class JoinedOption(click.Option):
    """An option whose value can only be joined to it: ``--explain sh`` runs sh, and explains it.

    Alone it means its ``flag_value``.
    """


class _Parser:
    """The options and arguments of one command line, as :meth:`click.Command.parse_args` wants
    them: values by the names of parameters, what is left over, and the order of all."""

    def __init__(self, command: click.Command, ctx: click.Context) -> None:
        self._ctx = ctx
        self._params = command.get_params(ctx)
        self._options: dict[str, click.Option] = {}
        for option in self._params:
            if isinstance(option, click.Option):
                further = option.also if isinstance(option, Option) else ()
                for name in (*option.opts, *option.secondary_opts, *further):
                    self._options[name] = option
        for option in self._params:
            if "--help" in option.opts and isinstance(option, click.Option):
                self._options.setdefault(_SHORT_HELP, option)
        self._given: dict[str, Any] = {}
        self._order: list[click.Parameter] = []
        self._opt_prefixes = {"-", "--"}  # click asks for it when a shell completes a word

    def parse_args(
        self, args: list[str]
    ) -> tuple[dict[str, Any], list[str], list[click.Parameter]]:
        words = list(reversed(args))
        rest: list[str] = []
        while words:
            word = words.pop()
            if word == "--":
                rest += reversed(words)
                break
            if not word.startswith("-") or word == "-":
                rest.append(word)
                if not self._ctx.allow_interspersed_args:
                    rest += reversed(words)
                    break
            elif word.startswith("--"):
                self._long(word, words, rest)
            else:
                self._letters(word, words, rest)
        return self._given, self._arguments(rest), self._order

    def _long(self, word: str, words: list[str], rest: list[str]) -> None:
        name, equals, value = word.partition("=")
        if name == "--" or name.startswith("---"):
            raise wrong_option(f"bad flag syntax: {word}", self._ctx)
        option = self._options.get(name)
        if option is None:
            if self._ctx.ignore_unknown_options:
                rest.append(word)
                return
            raise wrong_option(f"unknown flag: {name}", self._ctx, self._advice(name))
        if equals:
            self._take(option, name, value)
        elif _alone(option):
            self._take(option, name, None)
        elif words:
            self._take(option, name, words.pop())
        elif not self._ctx.resilient_parsing:
            raise wrong_option(f"flag needs an argument: {name}", self._ctx)

    def _letters(self, word: str, words: list[str], rest: list[str]) -> None:
        letters = word[1:]
        while letters:
            name, after = f"-{letters[0]}", letters[1:]
            option = self._options.get(name)
            if option is None:
                if self._ctx.ignore_unknown_options:
                    rest.append(f"-{letters}")
                    return
                message = f"unknown shorthand flag: '{letters[0]}' in -{letters}"
                raise wrong_option(message, self._ctx)
            if len(after) > 1 and after[0] == "=":
                self._take(option, name, after[1:])
                return
            if _alone(option):
                self._take(option, name, None)
                letters = after
                continue
            if not after and not words:
                if self._ctx.resilient_parsing:
                    return
                message = f"flag needs an argument: '{letters[0]}' in -{letters}"
                raise wrong_option(message, self._ctx)
            self._take(option, name, after or words.pop())
            return

    def _take(self, option: click.Option, name: str, text: str | None) -> None:
        value: Any = text
        if option.is_flag:
            on = text is None or self._truth(option, name, text)
            if option.is_bool_flag:
                value = on != (name in option.secondary_opts)
            elif on:
                value = option.flag_value
            else:
                return
        elif text is None:
            value = option.flag_value
        elif not self._ctx.resilient_parsing:
            value = self._converted(option, name, text)
        if not self._ctx.resilient_parsing:
            self._outdated(option, name)
        assert option.name is not None
        if option.multiple:
            self._given.setdefault(option.name, []).append(value)
        else:
            self._given[option.name] = value
        self._order.append(option)

    def _truth(self, option: click.Option, name: str, text: str) -> bool:
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        why = f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax"
        raise wrong_option(invalid(option, text, why, name), self._ctx)

    def _converted(self, option: click.Option, name: str, text: str) -> Any:
        """The value now, in the order in which they were written: the first wrong one is told."""
        try:
            return option.type(text, option, self._ctx)
        except click.BadParameter as bad:
            why = _go_reason(option, bad, text)
            raise wrong_option(invalid(option, text, why, name), self._ctx) from None

    def _outdated(self, option: click.Option, name: str) -> None:
        if name == _SHORT_HELP and "--help" in option.opts and name not in option.opts:
            print("Flag shorthand -h has been deprecated, use --help", file=sys.stderr)
        elif isinstance(option, Option) and name in option.outdated:
            now = next(name for name in option.opts if name.startswith("--"))
            print(f"Flag {name} has been deprecated, use {now} instead", file=sys.stderr)

    def _advice(self, name: str) -> str:
        from difflib import get_close_matches

        # What is taken for old scripts, and does nothing, is no advice.
        shown = [
            opt
            for param in self._params
            if isinstance(param, click.Option) and not param.hidden
            for opt in (*param.opts, *param.secondary_opts)
            if opt.startswith("--")
        ]
        near = get_close_matches(name, sorted(shown), 3, 0.75)
        return f"Did you mean {' or '.join(near)}?" if near else ""

    def _arguments(self, words: list[str]) -> list[str]:
        """Give each argument its words; what is left over."""
        arguments = [param for param in self._params if isinstance(param, click.Argument)]
        for number, argument in enumerate(arguments):
            later = sum(max(other.nargs, 0) for other in arguments[number + 1 :])
            count = argument.nargs if argument.nargs > 0 else max(len(words) - later, 0)
            taken, words = words[:count], words[count:]
            assert argument.name is not None
            if taken:
                self._given[argument.name] = taken[0] if argument.nargs == 1 else tuple(taken)
            self._order.append(argument)
        return words


def _alone(option: click.Option) -> bool:
    """May it stand without a value, and so never take the next word for one?"""
    return bool(option.is_flag) or isinstance(option, JoinedOption)


def quoted(text: str) -> str:
    """A text as Go's ``%q`` shows it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def invalid(option: click.Parameter, text: str, why: str, written: str = "") -> str:
    """``invalid argument "x" for "-t, --timeout" flag: …``, Docker's complaint about a value."""
    shorts = [name for name in option.opts if not name.startswith("--")]
    longs = [name for name in option.opts if name.startswith("--")]
    names = ", ".join([*shorts[:1], *longs[:1]])
    if written and written not in (*shorts[:1], *longs[:1]):
        names = written
    return f'invalid argument {quoted(text)} for "{names}" flag: {why}'


def _go_reason(option: click.Option, error: click.BadParameter, text: str) -> str:
    if option.type is click.INT:
        return f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax"
    return error.message.rstrip(".")


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """The type of an option whose text ``parse`` reads, and refuses by a Failure."""

    name = "text"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value  # which was read before
        try:
            return self._parse(value)
        except Failure as failure:
            raise click.BadParameter(str(failure), ctx, param) from None


class Command(click.Command):
    """A command whose line is read as Docker reads it."""

    allow_extra_args = True  # which are counted here, in Docker's words

    def make_parser(self, ctx: click.Context) -> Any:
        return _Parser(self, ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            left = super().parse_args(ctx, args)
        except click.MissingParameter as missing:
            if isinstance(missing.param, click.Argument):
                raise self._wrong_number(ctx) from None
            raise
        if left and not isinstance(self, click.Group) and not ctx.resilient_parsing:
            raise self._wrong_number(ctx)
        return left

    def _wrong_number(self, ctx: click.Context) -> WrongUse:
        """How many arguments there should be."""
        arguments = [param for param in self.params if isinstance(param, click.Argument)]
        least = sum(abs(argument.nargs) for argument in arguments if argument.required)
        most = sum(argument.nargs for argument in arguments)
        endless = any(argument.nargs < 0 for argument in arguments)
        if endless:
            how = f"requires at least {_arguments(least)}"
        elif most == 0:
            how = "accepts no arguments"
        elif least == most:
            how = f"requires {_arguments(least)}"
        elif least == 0:
            how = f"requires at most {_arguments(most)}"
        else:
            how = f"requires at least {least} and at most {_arguments(most)}"
        usage = " ".join(self.collect_usage_pieces(ctx))
        message = f"'{ctx.command_path}' {how} (usage: {ctx.command_path} {usage})"
        return WrongUse(message, ctx, 1)


def _arguments(count: int) -> str:
    return f"{count} argument{'s' if count != 1 else ''}"


def command(name: str | None = None, **more: Any) -> Callable[[Callable[..., Any]], Command]:
    """``@command()``: what :func:`click.command` is, for a command line that Docker would read."""
    return click.command(name, cls=Command, **more)
