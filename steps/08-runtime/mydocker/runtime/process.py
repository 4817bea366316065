"""The process of a bundle: how it becomes its command, after everything else, and maybe later."""

import os
import stat

from mydocker.container.channel import Channel
from mydocker.container.parts import Part
from mydocker.container.process import Answer
from mydocker.kernel import syscalls, trace
from mydocker.kernel.errors import NO_SUCH_COMMAND, NOT_EXECUTABLE, Failure
from mydocker.kernel.records import field, record
from mydocker.runtime.gate import Gate
from mydocker.runtime.hooks import State, run
from mydocker.runtime.specification import Hook
from mydocker.security import trampoline
from mydocker.security.trampoline import Trampolined

CREATED = {"created": True}  # what the container's side says when it is as it shall be


@record
class BundleProcess(Trampolined):
    """``gate``: where it waits, if it does. ``late`` are parts that enter after that, as the filter
    of system calls. ``hooks`` are ``startContainer``, run just before the command, inside."""

    gate: Gate | None = None
    late: tuple[Part, ...] = ()
    hooks: tuple[Hook, ...] = ()
    state: State = field(default_factory=dict)
    preserved: int = 0  # descriptors from 3 on that the command gets

    def execute(
        self, path: str, environment: dict[str, str], channel: Channel, answer: Answer
    ) -> None:
        """Wait at the gate; then as any process of ours.

        Who created us has ended by then, so we shall not die with it: the container belongs to who
        called it.
        """
        check_command(path, self.arguments[0])
        why = "the container outlives who creates it"
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 0, why=why)
        if self.gate is not None:
            _close_all_but(self.preserved, channel.fileno(), self.gate.descriptor)
            channel.send(CREATED)  # raises if who created us was killed, and that is our end
            self.gate.wait()
            trace.hush()  # nobody is there any more to be told
        run(self.hooks, {**self.state, "pid": os.getpid()})
        for part in self.late:
            part.enter()
        for descriptor in range(3, 3 + self.preserved):
            os.set_inheritable(descriptor, True)
        where = 3 + self.preserved
        trampoline.become(path, self.arguments, environment, channel, answer, where)


def check_command(path: str, name: str) -> None:
    """Can it be executed? Asked before ``create`` ends, in the words that its callers look for."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        said = f'exec: "{name}": stat {path}: {(error.strerror or "").lower()}'
        raise Failure(said, exit_code=NO_SUCH_COMMAND) from None
    if stat.S_ISDIR(mode) or not os.access(path, os.X_OK):
        raise Failure(f'exec: "{name}": permission denied', exit_code=NOT_EXECUTABLE)


def _close_all_but(preserved: int, *kept: int) -> None:
    """What of ours is still open would stay so as long as the container is not started."""
    first = 3 + preserved
    for descriptor in sorted({*kept}):
        os.closerange(first, descriptor)
        first = max(first, descriptor + 1)
    syscalls.close_range(first, 0xFFFFFFFF, 0)
