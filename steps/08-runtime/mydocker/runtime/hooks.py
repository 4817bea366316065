"""Programs that the caller of a runtime puts into the life of a container: hooks (config.md).

Each gets the state of the container on its standard input, exactly the arguments and environment
that the bundle says, and a limit of time if it says one. Docker makes its network in one.
"""

import json
import os
import signal
from typing import Any

from mydocker.container.parts import Part
from mydocker.kernel import signals, trace
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.runtime.specification import Hook

State = dict[str, Any]


def run(hooks: tuple[Hook, ...], state: State) -> None:
    """Run them, one after the other; raises Failure for the first that fails."""
    for number, hook in enumerate(hooks):
        why = "a hook of the bundle, with the container's state on its standard input"
        told = (hook.path, list(hook.args))
        trace.request("spawn", told, why, _run, number, hook, json.dumps(state))


def _run(number: int, hook: Hook, state: str) -> None:
    stdin, output = os.memfd_create("state"), os.memfd_create("output")
    try:
        os.write(stdin, state.encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, output, 1)]
        actions.append((os.POSIX_SPAWN_DUP2, output, 2))
        environment = dict(entry.split("=", 1) for entry in hook.env if "=" in entry)
        arguments = hook.args or (hook.path,)
        try:
            pid = os.posix_spawn(
                hook.path, arguments, environment, file_actions=actions, setpgroup=0
            )
        except OSError as error:
            said = f"fork/exec {hook.path}: {(error.strerror or '').lower()}"
            raise Failure(f"error running hook #{number}: {said}") from None
        ended = _ended(pid, hook.timeout)
        if ended == "":
            return
        os.lseek(output, 0, os.SEEK_SET)
        printed = os.read(output, 4096).decode(errors="replace").strip()
        raise Failure(f"error running hook #{number}: {ended}, output: {printed}")
    finally:
        os.close(stdin)
        os.close(output)


def _ended(pid: int, seconds: int | None) -> str:
    """How it ended, if not well. One that takes too long is killed, with those that it began."""
    pidfd = os.pidfd_open(pid)
    try:
        late = not signals.ready(pidfd, seconds)
        if late:
            os.killpg(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(signals.reap(pid, pidfd))
    finally:
        os.close(pidfd)
    if late:
        return f"hook ran past specified timeout of {seconds}.0s"
    if code < 0:
        return f"signal: {signal.strsignal(-code)}"
    return f"exit status {code}" if code else ""


@record
class RuntimeHooks(Part):
    """On the host, when all namespaces are there and the container's root is not yet ``/``:
    ``prestart``, then ``createRuntime``."""

    stage = "networks"

    hooks: tuple[Hook, ...]
    state: State

    def attach(self, pid: int) -> None:
        run(self.hooks, {**self.state, "pid": pid})
