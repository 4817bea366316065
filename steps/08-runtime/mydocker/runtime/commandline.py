"""``mydocker-runtime``: runc's commands, its exit codes, and its errors as its callers read them.

An error is one line: as text on standard error, or, with ``--log FILE --log-format json``, as an
object in that file as well, where containerd's shim looks for it.
"""

import os
import sys
import time
from typing import Any, NoReturn

from mydocker.kernel import trace
from mydocker.kernel.errors import Failure, one_line, place
from mydocker.runtime import options
from mydocker.runtime.options import COMMANDS, Given, Usage, number, text, texts
from mydocker.runtime.records import Store
from mydocker.runtime.specification import LATEST

NAME = "mydocker-runtime"
DEFAULT_ROOT = "/run/mydocker-runtime"
VERSION = "0.1.0"
_NO_SUCH_COMMAND = 3
_EXEC_FAILED = 255
_PREFIXES = {
    "create": "create failed: ", "run": "run failed: ", "exec": "exec failed: ",
}  # fmt: skip


class Log:
    """Where errors and warnings go: ``--log`` and ``--log-format``."""

    def __init__(self, path: str = "", form: str = "text") -> None:
        self.path, self.form = path, form

    def write(self, level: str, message: str) -> None:
        """One line in the log, which is standard error if there is none."""
        line = self._line(level, one_line(message))
        if not self.path:
            _say(2, line)
            return
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError:
            return
        try:
            os.write(fd, f"{line}\n".encode(errors="surrogateescape"))
        finally:
            os.close(fd)

    def _line(self, level: str, message: str) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.form == "json":
            import json

            return json.dumps({"level": level, "msg": message, "time": moment})
        quoted = message.replace("\\", "\\\\").replace('"', '\\"')
        return f'time="{moment}" level={level} msg="{quoted}"'

    def warn(self, message: str) -> None:
        """Something that is not as it was asked for."""
        self.write("warning", message)

    def error(self, message: str) -> None:
        """What ended the command; its caller reads standard error as well."""
        self.write("error", message)
        if self.path:
            _say(2, one_line(message))


def _say(descriptor: int, line: str) -> None:
    data = f"{line}\n".encode(errors="surrogateescape")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return  # nobody reads any more


def main() -> NoReturn:
    """The program."""
    code = _main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)


def _main(words: list[str]) -> int:
    log, name = Log(), ""
    try:
        given, rest = options.parse(words, options.GLOBAL, {"h": "help", "v": "version"})
        log = _log(given)
        if given.get("version"):
            _say(1, _version())
            return 0
        if given.get("help") or not rest or rest[0] in ("help", "h"):
            _say(1, _help(rest[1:] if rest[:1] == ["help"] else rest))
            return 0
        name = rest[0]
        command = COMMANDS.get(name)
        if command is None:
            log.error(f"No help topic for '{name}'")
            return _NO_SUCH_COMMAND
        asked, arguments = options.parse(
            rest[1:], {**command.options, "help": FLAG}, {**command.short, "h": "help"}
        )
        if asked.get("help"):
            _say(1, _help([name]))
            return 0
        options.checked(command, arguments)
        return _told(given, log, name, asked, arguments)
    except Usage as failure:
        log.error(f"{NAME}: {failure}" if name else str(failure))
        return 1
    except Failure as failure:
        log.error(_in_runcs_words(name, failure))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        log.error(f"{_PREFIXES.get(name, '')}{where}{(error.strerror or str(error)).lower()}")
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("MYDOCKER_TRACEBACK"):
            raise
        log.error(f"internal error: {type(error).__name__}: {error} ({place(error)})")
    return _EXEC_FAILED if name == "exec" else 1


FLAG = options.FLAG


def _in_runcs_words(name: str, failure: Failure) -> str:
    message = str(failure)
    if failure.message.startswith('exec: "'):  # without a hint: callers look for just these words
        message = f"unable to start container process: {failure.message}"
    return f"{_PREFIXES.get(name, '')}{message}"


def _log(given: Given) -> Log:
    form = text(given, "log-format", "text")
    if form not in ("text", "json"):
        raise Usage(f"invalid log-format: {form}")
    path = text(given, "log")
    return Log("" if path == "/dev/stderr" else path, form)


def _version() -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{NAME} version {VERSION}\nspec: {LATEST}\npython: {python}"


def _help(words: list[str]) -> str:
    if words and (command := COMMANDS.get(words[0])):
        listed = _flags(command.options)
        lines = [
            f"{NAME} {command.name} - {command.says}",
            "",
            "OPTIONS:",
            *(listed or ["   none"]),
        ]
        return "\n".join(lines)
    lines = [
        f"{NAME} - an OCI runtime with runc's command line", "",
        f"{NAME} [global options] command [command options] [arguments...]", "", "COMMANDS:",
        *(f"   {one.name:12}{one.says}" for one in COMMANDS.values()), "", "GLOBAL OPTIONS:",
        *_flags(options.GLOBAL),
    ]  # fmt: skip
    return "\n".join(lines)


def _flags(known: dict[str, str]) -> list[str]:
    return [f"   --{name}{'' if kind == FLAG else ' value'}" for name, kind in known.items()]


def _told(given: Given, log: Log, name: str, asked: Given, arguments: list[str]) -> int:
    """Run the command; with ``--explain FILE`` what it asks of the kernel is told there."""
    store = Store(os.path.abspath(text(given, "root") or DEFAULT_ROOT))
    if given.get("systemd-cgroup") and not os.path.isdir("/run/systemd/system"):
        raise Failure("systemd cgroup flag passed, but systemd support for managing cgroups is not "
                      "available")  # fmt: skip
    act = _ACTS[name]
    if not given.get("explain"):
        return act(store, log, asked, arguments)
    from mydocker.kernel.narrator import Narrator

    with open(text(given, "explain"), "a", buffering=1) as file, trace.listening(Narrator(file)):
        return act(store, log, asked, arguments)


# ---------------------------------------------------------------- one function for each command


def _creation(asked: Given, arguments: list[str], detached: bool) -> Any:
    from mydocker.runtime.life import Creation

    preserved = number(asked, "preserve-fds")
    return Creation(
        arguments[0],
        os.path.abspath(text(asked, "bundle") or "."),
        text(asked, "console-socket"),
        text(asked, "pid-file"),
        preserved + _listening(),
        not asked.get("no-new-keyring"),
        detached,
    )


def _listening() -> int:
    """Descriptors that systemd hands on to who is started by it (sd_listen_fds(3))."""
    told = os.environ.get("LISTEN_FDS", "")
    return int(told) if told.isdecimal() and len(told) < 5 else 0


def _create(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import life

    life.create(store, _creation(asked, arguments, True), log.warn)
    return 0


def _run(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import life

    creation = _creation(asked, arguments, bool(asked.get("detach")))
    return life.run(store, creation, log.warn, keep=bool(asked.get("keep")))


def _start(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import life

    life.start(store, arguments[0], log.warn)
    return 0


def _kill(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import life

    word = arguments[1] if len(arguments) > 1 else "SIGTERM"
    life.kill(store, arguments[0], life.signal_number(word), bool(asked.get("all")))
    return 0


def _delete(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import life

    life.delete(store, arguments[0], bool(asked.get("force")), log.warn)
    return 0


def _exec(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime.execution import ExecOptions, execute

    identifier, *command = arguments
    if not command and not asked.get("process"):
        raise Failure("process args cannot be empty")
    gids = texts(asked, "additional-gids")
    if not all(one.isdecimal() for one in gids):
        raise Usage(f"additional-gids {' '.join(gids)}: not numbers")
    for name in ("process-label", "apparmor", "cgroup"):
        if asked.get(name):
            raise Failure(f"--{name} is not supported")
    return execute(
        store,
        ExecOptions(
            identifier,
            tuple(command),
            text(asked, "process"),
            text(asked, "cwd"),
            texts(asked, "env"),
            bool(asked.get("tty")),
            text(asked, "user"),
            tuple(map(int, gids)),
            texts(asked, "cap"),
            bool(asked.get("no-new-privs")),
            bool(asked.get("detach")),
            text(asked, "console-socket"),
            text(asked, "pid-file"),
            number(asked, "preserve-fds") + _listening(),
            bool(asked.get("ignore-paused")),
        ),
    )


def _state(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    import json

    from mydocker.runtime import looking

    found = looking.state(store, store.find(arguments[0]))
    _say(1, json.dumps(found, indent=2))
    return 0


def _form(asked: Given) -> str:
    form = text(asked, "format", "table")
    if form not in ("table", "json"):
        raise Failure("invalid format option")
    return form


def _list(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import looking

    form, found = _form(asked), looking.listed(store)
    if asked.get("quiet"):
        for one in found:
            _say(1, one["id"])
        return 0
    if form == "json":
        import json

        _say(1, json.dumps(found) if found else "null")
        return 0
    rows = [("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")]
    keys = ("id", "pid", "status", "bundle", "created", "owner")
    rows += [tuple(str(one[key]) for key in keys) for one in found]  # type: ignore[misc]
    widths = [max(12, *(len(row[at]) + 3 for row in rows)) for at in range(len(keys))]
    for row in rows:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        _say(1, "".join(padded).rstrip())
    return 0


def _ps(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import looking

    container, form = store.find(arguments[0]), _form(asked)
    if form == "json":
        import json

        _say(1, json.dumps(looking.pids(container)))
        return 0
    sys.stdout.write(looking.processes(container, arguments[1:]))
    return 0


def _pause(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import groups, looking
    from mydocker.runtime.records import CREATED, RUNNING

    with store.changing(arguments[0]) as container:
        if looking.status_of(store, container) not in (CREATED, RUNNING):
            raise Failure("container not running")
        groups.pause(container)
    return 0


def _resume(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import groups

    with store.changing(arguments[0]) as container:
        groups.resume(container)
    return 0


def _spec(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    import json

    from mydocker.runtime import looking

    rootless = asked.get("rootless")
    told = looking.rootless_spec(os.geteuid(), os.getegid()) if rootless else looking.default_spec()
    path = os.path.join(text(asked, "bundle") or ".", "config.json")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Failure("File config.json exists. Remove it first") from None
    with open(fd, "w") as file:
        file.write(json.dumps(told, indent="\t"))
    return 0


def _update(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    from mydocker.runtime import updating

    if path := text(asked, "resources"):
        resources = updating.from_file(path)
    else:
        names = ("cpuset-cpus", "cpuset-mems")
        numbers = {name: number(asked, name) for name in asked if name not in names}
        resources = updating.from_options(numbers, {name: text(asked, name) for name in names})
    updating.update(store, arguments[0], resources)
    return 0


def _events(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    import json

    from mydocker.kernel.durations import parse_duration
    from mydocker.runtime import measuring

    container = store.find(arguments[0])
    if not container.alive():
        raise Failure(f"container with id {container.id} is not running")
    if asked.get("stats"):
        _say(1, json.dumps(measuring.stats(container)))
        return 0
    interval = parse_duration(text(asked, "interval", "5s")) / 10**9
    if interval <= 0:
        raise Failure("duration interval must be greater than 0")
    for event in measuring.events(container, interval):
        _say(1, json.dumps(event))
    return 0


def _features(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    import json

    from mydocker.runtime.features import features

    _say(1, json.dumps(features(), indent=4))
    return 0


def _not_built(store: Store, log: Log, asked: Given, arguments: list[str]) -> int:
    raise Failure("checkpoint and restore need CRIU, and are not built here")


_ACTS = {
    "create": _create,
    "start": _start,
    "state": _state,
    "kill": _kill,
    "delete": _delete,
    "run": _run,
    "exec": _exec,
    "ps": _ps,
    "list": _list,
    "pause": _pause,
    "resume": _resume,
    "spec": _spec,
    "update": _update,
    "events": _events,
    "features": _features,
    "checkpoint": _not_built,
    "restore": _not_built,
}
