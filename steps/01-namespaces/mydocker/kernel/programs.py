"""Whole changes of the network, given to ``ip`` and ``nft`` as one batch each.

Links, addresses and firewall rules are set over netlink. The commands ``ip -batch -`` (ip(8)) and
``nft -f -`` (nft(8)) take a whole list of changes on standard input: the reader can type the same
lines, and one process does them all, which costs some 3 ms instead of 3 ms a line. ``nft -f``
applies its batch as one transaction: all of it, or nothing.
"""

import errno
import os

from mydocker.kernel import signals, trace
from mydocker.kernel.errors import Failure, hints

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # not every PATH has sbin
_PACKAGES = {"ip": "iproute2", "nft": "nftables"}
_HINTS = {
    errno.EAGAIN: "A limit on processes is reached: this is a command, which needs one more of "
    "them for a moment. See --pids-limit, ulimit -u",
}


def find(program: str) -> str:
    """The path of a program that the system's administrator uses. Raises Failure without it."""
    for directory in _PATH.split(":"):
        path = f"{directory}/{program}"
        if os.access(path, os.X_OK):
            return path
    package = _PACKAGES.get(program, program)
    raise Failure(f"{program}: command not found", f"Install it: apt-get install {package}")


def _run(arguments: list[str], text: str) -> str:
    """Run a program with ``text`` on its standard input; what it prints."""
    # A file in memory rather than a pipe: a batch of any size fits, and nobody waits for anybody.
    stdin, output = os.memfd_create("batch"), os.memfd_create("output")
    try:
        os.write(stdin, text.encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, output, 1)]
        actions.append((os.POSIX_SPAWN_DUP2, output, 2))
        pid = os.posix_spawn(find(arguments[0]), arguments, {"PATH": _PATH}, file_actions=actions)
        status = os.waitstatus_to_exitcode(signals.reap(pid))
        os.lseek(output, 0, os.SEEK_SET)
        with open(output, "rb", closefd=False) as file:
            printed = os.fsdecode(file.read())
    finally:
        os.close(stdin)
        os.close(output)
    if status != 0:
        said = " ".join(printed.split()) or f"exit status {status}"
        raise Failure(f"{' '.join(arguments)}: {said}")
    return printed


def ip_batch(text: str, *, why: str = "") -> str:
    """Give ``text``, one ip(8) command per line without the word ``ip``, to ``ip -batch -``.

    The commands are done in order up to the first that fails: ``Failure`` with what ip said. Needs
    CAP_NET_ADMIN. Returns what ip printed.
    """
    with hints(_HINTS):
        return trace.request("ip", (text,), why, _run, ["ip", "-batch", "-"], text)


def nft(text: str, *, why: str = "") -> str:
    """Give ``text``, a ruleset as in nft(8), to ``nft -f -``: applied whole or not at all.

    Raises Failure with what nft said. Needs CAP_NET_ADMIN. Returns what nft printed.
    """
    with hints(_HINTS):
        return trace.request("nft", (text,), why, _run, ["nft", "-f", "-"], text)
