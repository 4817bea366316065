"""What the kernel saw: a run under strace(1), read as calls with their arguments."""

import ast
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

from mydocker.kernel import syscalls

_LINE = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)(?:<([^>]*)>)?(?: (E[A-Z]+))?")
_DESCRIPTOR = re.compile(r"(-?\d+|AT_FDCWD)<([^>]*)>")


@dataclass(frozen=True)
class Call:
    """One system call. ``arguments`` are as strace writes them, but for strings, which are plain;
    ``paths`` are, where an argument is a descriptor, what it is open on."""

    name: str
    arguments: tuple[str, ...]
    result: str
    error: str = ""
    paths: tuple[str, ...] = ()


@dataclass
class Process:
    """The calls of one process, in order. ``open`` is what its descriptors were opened on."""

    pid: int
    calls: list[Call] = field(default_factory=list)
    open: dict[int, str] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """Take one line of strace's; what is no whole call is left out."""
        match = _LINE.match(line)
        if match is None:
            return
        name, arguments, result, opened, error = match.groups()
        words = split(arguments)
        paths = tuple(m.group(2) if (m := _DESCRIPTOR.match(word)) else "" for word in words)
        plain = tuple(self._plain(word) for word in words)
        self.calls.append(Call(name, plain, result, error or "", paths))
        if name in ("openat", "openat2", "open", "open_tree", "fsmount") and opened is not None:
            self.open[int(result)] = opened

    def _plain(self, word: str) -> str:
        if not word.startswith('"'):
            return "" if word == "NULL" else word
        text = str(ast.literal_eval(word.rstrip(".")))
        through = re.match(r"/proc/self/fd/(\d+)", text)
        if through is None:
            return text
        opened = self.open.get(int(through.group(1)))
        return text if opened is None else opened + text[through.end() :]


def split(arguments: str) -> list[str]:
    """The arguments of a call: at commas that are outside of strings and brackets."""
    words, start, depth, quoted, escaped = [], 0, 0, False, False
    for position, character in enumerate(arguments):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = quoted
        elif character == '"':
            quoted = not quoted
        elif not quoted and character in "([{<":
            depth += 1
        elif not quoted and character in ")]}>" and arguments[position - 1] != "=":
            depth -= 1
        elif not quoted and depth == 0 and character == ",":
            words.append(arguments[start:position].strip())
            start = position + 1
    return [*words, arguments[start:].strip()] if arguments else []


def number(flags: str) -> int:
    """``MS_BIND|MS_REC`` or ``SIGKILL`` as the kernel has it; a number as it is."""
    value = 0
    for word in re.sub(r" /\*.*?\*/", "", flags).split("|"):
        known = getattr(syscalls, word, getattr(signal, word, None))
        value |= known if isinstance(known, int) else int(word, 0)
    return value


def read(prefix: Path) -> dict[int, Process]:
    """The processes in the files that ``strace -ff -o prefix`` wrote, by pid."""
    found = {}
    for file in prefix.parent.glob(f"{prefix.name}.*"):
        process = Process(int(file.name.rpartition(".")[2]))
        for line in file.read_text(errors="surrogateescape").splitlines():
            process.add(line)
        found[process.pid] = process
    return found
