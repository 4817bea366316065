"""runc's command line, read as Go's ``flag`` reads one: ``-b x``, ``--b=x``, before the arguments.

Not by click: a caller waits for each of these commands, and the import alone would double the time
that ``state`` takes.
"""

from mydocker.kernel.errors import Invalid
from mydocker.kernel.records import record

FLAG, VALUE, LIST = "flag", "value", "list"
Given = dict[str, str | bool | list[str]]


class Usage(Invalid):
    """The command line is not one of ours."""


@record
class Command:
    """``options`` by their long names; ``short`` for their letters; ``least`` and ``most``
    arguments, -1 for any number."""

    name: str
    says: str
    options: dict[str, str]
    short: dict[str, str]
    least: int = 1
    most: int = 1


_BUNDLE = {
    "bundle": VALUE, "console-socket": VALUE, "pid-file": VALUE, "no-pivot": FLAG,
    "no-new-keyring": FLAG, "preserve-fds": VALUE,
}  # fmt: skip
_UPDATE = dict.fromkeys(
    (
        "resources", "blkio-weight", "cpu-period", "cpu-quota", "cpu-share", "cpu-rt-period",
        "cpu-rt-runtime", "cpuset-cpus", "cpuset-mems", "memory", "memory-reservation",
        "memory-swap", "pids-limit", "l3-cache-schema", "mem-bw-schema",
    ),
    VALUE,
)  # fmt: skip
GLOBAL = {
    "debug": FLAG, "log": VALUE, "log-format": VALUE, "root": VALUE, "criu": VALUE,
    "systemd-cgroup": FLAG, "rootless": VALUE, "explain": VALUE, "help": FLAG, "version": FLAG,
}  # fmt: skip
COMMANDS = {
    one.name: one
    for one in (
        Command("create", "create a container", _BUNDLE, {"b": "bundle"}),
        Command("start", "let a created container run", {}, {}),
        Command("state", "show the state of a container", {}, {}),
        Command("kill", "send a signal, SIGTERM by default, to a container's first process",
                {"all": FLAG}, {"a": "all"}, 1, 2),
        Command("delete", "take away what there is of a container",
                {"force": FLAG}, {"f": "force"}),
        Command("run", "create a container and let it run",
                {**_BUNDLE, "detach": FLAG, "keep": FLAG, "no-subreaper": FLAG},
                {"b": "bundle", "d": "detach"}),
        Command("exec", "run another process in a container",
                {"console-socket": VALUE, "cwd": VALUE, "env": LIST, "tty": FLAG, "user": VALUE,
                 "additional-gids": LIST, "process": VALUE, "detach": FLAG, "pid-file": VALUE,
                 "process-label": VALUE, "apparmor": VALUE, "no-new-privs": FLAG, "cap": LIST,
                 "preserve-fds": VALUE, "cgroup": LIST, "ignore-paused": FLAG},
                {"e": "env", "t": "tty", "u": "user", "g": "additional-gids", "p": "process",
                 "d": "detach", "c": "cap"}, 1, -1),
        Command("ps", "show the processes of a container",
                {"format": VALUE}, {"f": "format"}, 1, -1),
        Command("list", "show the containers",
                {"format": VALUE, "quiet": FLAG}, {"f": "format", "q": "quiet"}, 0, 0),
        Command("pause", "stop all processes of a container", {}, {}),
        Command("resume", "let them go on", {}, {}),
        Command("update", "change the limits of a container", _UPDATE, {"r": "resources"}),
        Command("events", "tell what a container uses, again and again",
                {"interval": VALUE, "stats": FLAG}, {}),
        Command("spec", "write a config.json to begin with",
                {"bundle": VALUE, "rootless": FLAG}, {"b": "bundle"}, 0, 0),
        Command("features", "tell what this runtime knows", {}, {}, 0, 0),
        Command("checkpoint", "not built: it needs CRIU", {}, {}, 0, -1),
        Command("restore", "not built: it needs CRIU", {}, {}, 0, -1),
    )
}  # fmt: skip


def parse(
    words: list[str], options: dict[str, str], short: dict[str, str]
) -> tuple[Given, list[str]]:
    """The options that come first, and the rest. Raises Usage."""
    given: Given = {}
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, value = word.lstrip("-").partition("=")
        name = short.get(name, name)
        kind = options.get(name)
        if kind is None:
            raise Usage(f"flag provided but not defined: -{name}")
        if kind == FLAG:
            given[name] = value in ("1", "t", "T", "true", "TRUE", "True") if equals else True
            continue
        if not equals:
            if not rest:
                raise Usage(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        if kind == LIST:
            before = given.get(name)
            given[name] = [*(before if isinstance(before, list) else []), value]
        else:
            given[name] = value
    return given, rest


def checked(command: Command, arguments: list[str]) -> None:
    """Raises Usage for too many or too few."""
    least, most, count = command.least, command.most, len(arguments)
    if least <= count and (most < 0 or count <= most):
        return
    many = f"exactly {least}" if least == most else f"a minimum of {least}"
    if least != most and most >= 0 and count > most:
        many = f"a maximum of {most}"
    raise Usage(f'"{command.name}" requires {many} argument(s)')


def text(given: Given, name: str, otherwise: str = "") -> str:
    """The value of an option."""
    value = given.get(name, otherwise)
    return value if isinstance(value, str) else otherwise


def texts(given: Given, name: str) -> tuple[str, ...]:
    """The values of an option that may come more than once."""
    value = given.get(name, [])
    return tuple(value) if isinstance(value, list) else ()


def number(given: Given, name: str, otherwise: int = 0) -> int:
    """The value of an option that is a number. Raises Usage."""
    value = text(given, name)
    if not value:
        return otherwise
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
        raise Usage(f'invalid value "{value}" for flag -{name}: parse error')
    return int(value)
