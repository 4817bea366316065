"""A request in the words of its man page: ``mount("proc", "/proc", "proc", MS_NOSUID)``.

Loaded only to show something to a person: for ``--explain``, and for an error's message.
"""

import signal
import stat

from mydocker.kernel import constants

# Which argument of which call is made of which flags: {call: {position: prefix of their names}}
_FLAGS: dict[str, dict[int, str | tuple[str, ...]]] = {
    "clone3": {0: ("CLONE_NEW", "CLONE_INTO")},
    "unshare": {0: "CLONE_NEW"},
    "setns": {1: "CLONE_NEW"},
    "capset": {0: "CAP_", 1: "CAP_", 2: "CAP_"},  # no names: in hexadecimal, as in /proc
    "mount": {3: "MS_"},
    "umount2": {1: ("MNT_", "UMOUNT_")},
    "mount_setattr": {1: "AT_", 2: "MOUNT_ATTR_", 3: "MOUNT_ATTR_", 4: "MS_"},
    "open_tree": {1: ("OPEN_TREE_", "AT_")},
}
_NUMBERS = {"prctl": {0: "PR_"}, "fsconfig": {1: "FSCONFIG_"}}
_MODES = {"mkdir": 1, "mknod": 1, "chmod": 1, "create": 2}


def _named(prefixes: str | tuple[str, ...]) -> dict[int, str]:
    known = vars(constants).items()
    return {value: name for name, value in known if name.startswith(prefixes)}


def flags(prefixes: str | tuple[str, ...], value: int) -> str:
    """``value`` as its flags' names, joined by ``|``; what has no name stays a number; 0 is 0."""
    names = []
    for flag, name in sorted(_named(prefixes).items()):
        if flag > 0 and value & flag == flag:
            names.append(name)
            value &= ~flag
    return "|".join([*names, hex(value)] if value or not names else names).replace("0x0", "0")


def _argument(call: str, position: int, value: object) -> str:
    if isinstance(value, int):
        if prefixes := _FLAGS.get(call, {}).get(position):
            return flags(prefixes, value)
        if prefix := _NUMBERS.get(call, {}).get(position):
            return _named(prefix).get(value, str(value))
        if _MODES.get(call) == position:
            return f"0o{stat.S_IMODE(value):o}"
        if call == "pidfd_send_signal" and position == 1 and value:
            return signal.Signals(value).name  # 0 is none: it only asks whether one could be sent
        return str(value)
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """``text`` in double quotes, on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def call(name: str, arguments: tuple[object, ...]) -> str:
    """A request as it would be written in C."""
    if name == "execve":
        path, *rest = arguments
        vector = rest[0] if rest and isinstance(rest[0], list | tuple) else rest
        return f"execve({quoted(str(path))}, [{', '.join(quoted(str(v)) for v in vector)}])"
    shown = [_argument(name, position, value) for position, value in enumerate(arguments)]
    while len(shown) > 1 and shown[-1] == '""':
        shown.pop()  # mount's data, when there is none
    return f"{name}({', '.join(shown)})"
