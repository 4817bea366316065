"""Go's text/template is read: from text to a tree of nodes.

The lexer cuts ``{{if eq .A "b"}}`` into words, and the parser makes nodes of them, as in Go's
text/template/parse. What a node does when it is filled in, :mod:`mydocker.engine.words.templates`
says.
"""

import json as _json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from mydocker.engine.words.govalues import Wrong

_OPEN = re.compile(r"\{\{(-(?=\s))?")
_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<char>'(?:[^'\\\n]|\\.)+')
    |(?P<number>[-+]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|\d[\d_]*(?:\.\d*)?(?:[eE][-+]?\d+)?
      |\.\d+(?:[eE][-+]?\d+)?)(?![\w.]))
    |(?P<field>\.\w+)|(?P<variable>\$\w*)|(?P<dot>\.)|(?P<word>[^\W\d]\w*)
    |(?P<mark>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)
_KEYWORDS = (
    "block",
    "break",
    "continue",
    "define",
    "else",
    "end",
    "if",
    "range",
    "template",
    "with",
)
_LONGEST = 30  # digits of a number


# ---------------------------------------------------------------- nodes


@dataclass
class Node:
    """``text`` is what is quoted, and ``place`` is ``line:column``, when it goes wrong."""

    text: str = field(default="", kw_only=True)
    place: str = field(default="1:0", kw_only=True)


@dataclass
class Text(Node):
    said: str


@dataclass
class Constant(Node):
    """A text, a number, ``true``; ``nil`` is None."""

    value: Any


@dataclass
class Dot(Node):
    """``.``"""


@dataclass
class Path(Node):
    """``.A.B``, ``$x.A``, ``$``: fields of the dot or, by its name, of a variable."""

    variable: str
    names: tuple[str, ...]


@dataclass
class Chain(Node):
    """``(…).A.B``"""

    of: Node
    names: tuple[str, ...]


@dataclass
class Word(Node):
    """A function."""

    name: str


@dataclass
class Call(Node):
    """A command: its first word, and the arguments."""

    words: list[Node]


@dataclass
class Pipeline(Node):
    """Commands with ``|`` between, and the variables that get the value."""

    commands: list[Call]
    variables: tuple[str, ...] = ()
    assigns: bool = False


@dataclass
class Action(Node):
    """``{{pipeline}}``"""

    pipeline: Pipeline


@dataclass
class Block(Node):
    """``if``, ``with``, ``range``: what it depends on, its body, and what follows ``else``."""

    kind: str
    pipeline: Pipeline
    body: list[Node]
    otherwise: list[Node]


@dataclass
class Leave(Node):
    """``break`` or ``continue``."""

    kind: str


@dataclass
class Template(Node):
    """``{{template "name" pipeline}}``"""

    name: str
    pipeline: Pipeline | None


# ---------------------------------------------------------------- words


@dataclass(frozen=True)
class Token:
    kind: str
    word: str
    place: str
    spaced: bool  # is there space before it?


def _place(text: str, position: int) -> str:
    begin = text.rfind("\n", 0, position) + 1
    return f"{text.count(chr(10), 0, position) + 1}:{len(text[begin:position].encode())}"


def tokens(text: str) -> list[Token]:
    """All of a template: ``text`` tokens, and between ``open`` and ``close`` those of an action."""
    found: list[Token] = []
    position, trim = 0, False
    while True:
        opening = _OPEN.search(text, position)
        said = text[position : opening.start() if opening else len(text)]
        if trim:
            said = said.lstrip(" \t\r\n")
        if opening and opening[1]:
            said = said.rstrip(" \t\r\n")
        if said:
            found.append(Token("text", said, _place(text, position), False))
        if not opening:
            return found
        position = opening.end()
        comment = re.match(r"\s*/\*", text[position:]) if opening[1] else None
        if comment or text.startswith("/*", position):
            position, trim = _comment(text, position)
            continue
        found.append(Token("open", "{{", _place(text, opening.start()), False))
        position, trim = _action(text, position, found)


def _comment(text: str, position: int) -> tuple[int, bool]:
    end = text.find("*/", position)
    if end < 0:
        raise Wrong("unclosed comment")
    closing = re.match(r"(\s-)?\}\}", text[end + 2 :])
    if not closing:
        raise Wrong("comment ends before closing delimiter")
    return end + 2 + closing.end(), bool(closing[1])


def _action(text: str, position: int, found: list[Token]) -> tuple[int, bool]:
    depth, spaced = 0, False
    while True:
        closing = re.compile(r"(\s+-)?\}\}").match(text, position)
        if closing:
            if depth:
                raise Wrong("unclosed left paren")
            found.append(Token("close", "}}", _place(text, position), spaced))
            return closing.end(), bool(closing[1])
        match = _TOKEN.match(text, position)
        if not match:
            raise Wrong(_unreadable(text, position))
        kind, word = match.lastgroup or "", match[0]
        if kind == "space":
            spaced = True
        else:
            depth += {"(": 1, ")": -1}.get(word, 0) if kind == "mark" else 0
            if depth < 0:
                raise Wrong("unexpected right paren")
            found.append(Token(kind, word, _place(text, position), spaced))
            spaced = False
        position = match.end()


def _unreadable(text: str, position: int) -> str:
    rest = text[position:]
    if not rest.strip():
        return "unclosed action"
    if rest[0] == '"':
        return "unterminated quoted string"
    if rest[0] == "`":
        return "unterminated raw quoted string"
    if rest[0] == "'":
        return "unterminated character constant"
    if rest[0].isdigit() or rest[0] in "+-":
        word = re.match(r"[-+]?[\w.]*", rest)
        return f'bad number syntax: "{word[0][:_LONGEST] if word else rest[0]}"'
    char = rest[0]
    name = f"'{char}'" if char.isprintable() else ""
    return f"unexpected U+{ord(char):04X} {name} in action" if name else (
        f"unexpected U+{ord(char):04X} in action"
    )  # fmt: skip


# ---------------------------------------------------------------- tree


class Parser:
    """From tokens to nodes. ``functions``: the names that there are."""

    def __init__(self, text: str, functions: Collection[str]) -> None:
        self._functions = functions
        self._tokens = tokens(text)
        self._at = 0
        self._variables = ["$"]
        self._loops = 0
        self.templates: dict[str, list[Node]] = {}
        self.root, ended, _ = self._list(top=True)
        if ended:
            raise Wrong(f"unexpected {{{{{ended}}}}}")

    def _peek(self) -> Token:
        end = Token("end", "", "1:0", False)
        return self._tokens[self._at] if self._at < len(self._tokens) else end

    def _take(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _list(self, top: bool = False) -> tuple[list[Node], str, Token]:
        """Nodes up to ``end`` or ``else``; which of them it was."""
        nodes: list[Node] = []
        while True:
            token = self._take()
            if token.kind == "end":
                if not top:
                    raise Wrong("unexpected EOF")
                return nodes, "", token
            if token.kind == "text":
                nodes.append(Text(token.word))
                continue
            word = self._peek()
            if word.kind == "word" and word.word in ("end", "else"):
                self._take()
                return nodes, word.word, word
            node = self._node(word, top)
            if node is not None:
                nodes.append(node)

    def _node(self, first: Token, top: bool) -> Node | None:
        keyword = first.word if first.kind == "word" else ""
        if keyword not in _KEYWORDS:
            return Action(self._pipeline("command", "close"), place=first.place)
        self._take()
        match keyword:
            case "if" | "with" | "range":
                return self._block(keyword)
            case "break" | "continue":
                if not self._loops:
                    raise Wrong(f"{{{{{keyword}}}}} outside {{{{range}}}}")
                self._close(keyword)
                return Leave(keyword)
            case "define":
                if not top:
                    raise Wrong("unexpected <define> in command")
                name = self._name("define clause")
                self.templates[name] = self._inside()
                return None
            case "template":
                name = self._name("template clause", closes=False)
                argument = self._argument("template clause")
                text = f"{{{{template {_quote(name)}}}}}"
                return Template(name, argument, text=text, place=first.place)
        name = self._name("block clause", closes=False)
        pipeline = self._pipeline("block clause", "close")
        self.templates[name] = self._inside()
        return Template(name, pipeline, place=first.place)

    def _argument(self, where: str) -> Pipeline | None:
        if self._peek().kind == "close":
            self._take()
            return None
        return self._pipeline(where, "close")

    def _close(self, where: str) -> None:
        token = self._take()
        if token.kind != "close":
            raise Wrong(f"unexpected {_quoted(token)} in {{{{{where}}}}}")

    def _name(self, where: str, closes: bool = True) -> str:
        token = self._take()
        if token.kind != "string":
            raise Wrong(f"unexpected {_quoted(token)} in {where}")
        if closes:
            self._close(where)
        return str(_text(token.word))

    def _inside(self) -> list[Node]:
        """The body of a definition: variables and loops around it are not its own."""
        kept, self._variables, loops, self._loops = self._variables, ["$"], self._loops, 0
        nodes, ended, _ = self._list()
        if ended != "end":
            raise Wrong(f"unexpected {{{{{ended}}}}}")
        self._close("end")
        self._variables, self._loops = kept, loops
        return nodes

    def _block(self, kind: str) -> Block:
        known = len(self._variables)
        pipeline = self._pipeline(kind, "close")
        self._loops += kind == "range"
        body, ended, token = self._list()
        self._loops -= kind == "range"
        otherwise: list[Node] = []
        if ended == "else":
            again = self._peek()
            if again.kind == "word" and again.word == kind and kind != "range":
                self._take()  # {{else if}} is {{else}}{{if}}, with one end for both
                otherwise = [self._block(kind)]
            else:
                self._close("else")
                otherwise, ended, token = self._list()
                if ended != "end":
                    raise Wrong("expected end; found {{else}}")
                self._close("end")
        else:
            self._close("end")
        del self._variables[known:]
        return Block(kind, pipeline, body, otherwise, place=token.place)

    def _pipeline(self, where: str, end: str) -> Pipeline:
        place = self._peek().place
        variables, assigns = self._declared(where)
        commands: list[Call] = []
        while True:
            token = self._peek()
            if token.kind == end or (end == ")" and token.word == ")" and token.kind == "mark"):
                self._take()
                break
            commands.append(self._command(where))
            token = self._peek()
            if token.kind == "mark" and token.word == "|":
                self._take()
        if not commands:
            raise Wrong(f"missing value for {where}")
        for number, call in enumerate(commands[1:], 2):
            if isinstance(call.words[0], Constant | Dot):
                raise Wrong(f"non executable command in pipeline stage {number}")
        text = " | ".join(call.text for call in commands)
        if not assigns:
            self._variables += variables
        return Pipeline(commands, variables, assigns, text=text, place=place)

    def _declared(self, where: str) -> tuple[tuple[str, ...], bool]:
        """``$x :=``, ``$x =``, or for ``range`` ``$k, $v :=``."""
        ahead = [token.word for token in self._tokens[self._at : self._at + 4]]
        if self._peek().kind != "variable" or len(ahead) < 2:
            return (), False
        if ahead[1] in (":=", "="):
            self._at += 2
            return (ahead[0],), ahead[1] == "="
        if ahead[1] == "," and len(ahead) == 4 and ahead[3] in (":=", "="):
            if where != "range":
                raise Wrong(f"too many declarations in {where}")
            self._at += 4
            return (ahead[0], ahead[2]), ahead[3] == "="
        return (), False

    def _command(self, where: str) -> Call:
        words: list[Node] = []
        place = self._peek().place
        while True:
            token = self._peek()
            if token.kind in ("close", "end") or (token.kind == "mark" and token.word in "|)"):
                break
            if words and not token.spaced:
                raise Wrong(f"unexpected {_quoted(token)} in operand")
            words.append(self._operand(where))
        if not words:
            raise Wrong(f"missing value for {where}" if where != "command" else "empty command")
        return Call(words, text=" ".join(word.text for word in words), place=place)

    def _operand(self, where: str) -> Node:
        token = self._take()
        node = self._term(token)
        names, text = [], node.text
        place = self._peek().place if self._chained() else token.place  # as Go tells it
        while self._chained():
            name = self._take().word
            names.append(name[1:])
            text += name
        if not names:
            return node
        match node:
            case Path():
                return Path(node.variable, (*node.names, *names), text=text, place=place)
            case Constant() | Dot():
                raise Wrong(f"unexpected . after term {_quote(node.text)}")
        return Chain(node, tuple(names), text=text, place=place)

    def _chained(self) -> bool:
        """Does a field follow without space?"""
        return self._peek().kind == "field" and not self._peek().spaced

    def _term(self, token: Token) -> Node:
        kind, word, where = token.kind, token.word, token.place
        match kind:
            case "string":
                return Constant(_text(word), text=word, place=where)
            case "char":
                return Constant(ord(_char(word)), text=word, place=where)
            case "number":
                return Constant(_number(word), text=word, place=where)
            case "field":
                return Path("", (word[1:],), text=word, place=where)
            case "variable":
                if word not in self._variables:
                    raise Wrong(f'undefined variable "{word}"')
                return Path(word, (), text=word, place=where)
            case "dot":
                return Dot(text=word, place=where)
            case "word" if word in _CONSTANTS:
                return Constant(_CONSTANTS[word], text=word, place=where)
            case "word" if word in _KEYWORDS:
                raise Wrong(f"unexpected <{word}> in operand")
            case "word":
                if word not in self._functions:
                    raise Wrong(f'function "{word}" not defined')
                return Word(word, text=word, place=where)
            case "mark" if word == "(":
                pipeline = self._pipeline("parenthesized pipeline", ")")
                pipeline.text = f"({pipeline.text})"
                return pipeline
        raise Wrong(f"unexpected {_quoted(token)} in operand")


_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "nil": None}
_quote: Callable[[str], str] = lambda text: _json.dumps(text, ensure_ascii=False)  # noqa: E731


def _quoted(token: Token) -> str:
    if token.kind == "end":
        return "EOF"
    return {"field": f"<{token.word}>", "dot": "<.>"}.get(token.kind, _quote(token.word))


def _text(word: str) -> str:
    if word[0] == "`":
        return word[1:-1]
    return _unescaped(word, '"')


def _char(word: str) -> str:
    text = _unescaped(word, "'")
    if len(text) != 1:
        raise Wrong(f"malformed character constant: {word}")
    return text


_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\"}


def _unescaped(word: str, mark: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code or match[4]:
            number = int(code, 16) if code else int(match[4], 8)
            if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                raise Wrong("invalid syntax")
            return chr(number)
        if match[5] == mark:
            return mark
        if match[5] not in _SHORT:
            raise Wrong("invalid syntax")
        return _SHORT[match[5]]

    text = word[1:-1]
    if any(ord(char) < 32 and char != "\t" for char in text):
        raise Wrong("invalid syntax")
    return _ESCAPE.sub(one, text)


def _number(word: str) -> int | float:
    digits = word.replace("_", "")
    if len(digits) > _LONGEST:
        raise Wrong(f"bad number syntax: {_quote(word[:_LONGEST])}…")
    try:
        if digits[:2].lower() != "0x" and any(char in ".eE" for char in digits):
            return float(digits)
        if re.fullmatch(r"[-+]?0[0-7]+", digits):
            return int(digits, 8)
        return int(digits, 0)
    except ValueError:
        raise Wrong(f"bad number syntax: {_quote(word)}") from None
