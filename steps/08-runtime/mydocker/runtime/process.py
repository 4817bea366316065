"""The process of a bundle: how it becomes its command, after everything else."""

import os
import stat

from mydocker.container import child
from mydocker.container.channel import Channel
from mydocker.container.parts import Part
from mydocker.container.process import Answer
from mydocker.kernel import syscalls
from mydocker.kernel.errors import NO_SUCH_COMMAND, NOT_EXECUTABLE, Failure
from mydocker.kernel.records import field, record
from mydocker.runtime import specification as oci
from mydocker.runtime.hooks import State, run
from mydocker.runtime.specification import Hook
from mydocker.security import trampoline
from mydocker.security.trampoline import Trampolined


@record
class BundleProcess(Trampolined):
    """``late`` are parts that enter when it was told to go, as the filter of system calls.
    ``hooks`` are ``startContainer``, run just before the command, inside."""

    late: tuple[Part, ...] = ()
    hooks: tuple[Hook, ...] = ()
    state: State = field(default_factory=dict)
    preserved: int = 0  # descriptors from 3 on that the command gets

    def execute(
        self, path: str, environment: dict[str, str], channel: Channel, answer: Answer
    ) -> None:
        """Do what comes last; then as any process of ours.

        It does not die with who made it: a container belongs to who called us.
        """
        why = "it outlives who makes it"
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 0, why=why)
        run(self.hooks, {**self.state, "pid": os.getpid()})
        for part in self.late:
            part.enter()
        for descriptor in range(3, 3 + self.preserved):
            os.set_inheritable(descriptor, True)
        where = 3 + self.preserved
        trampoline.become(path, self.arguments, environment, channel, answer, where)


def command_of(asked: oci.Process, late: tuple[Part, ...], preserved: int) -> BundleProcess:
    """The process that a bundle, or ``exec``, asks for."""
    return BundleProcess(
        asked.args,
        dict(entry.split("=", 1) for entry in asked.env),
        asked.cwd,
        terminal=asked.terminal,
        late=late,
        preserved=preserved,
    )


@record
class CommandIsThere(Part):
    """Inside, when the user is the command's: can it be executed?

    Asked before ``create`` ends, in the words that its callers look for.
    """

    stage = "powers"

    name: str
    directory: str

    def enter(self) -> None:
        path = self.name if "/" in self.name else child.search(self.name)
        try:
            mode = os.stat(os.path.join(self.directory, path)).st_mode
        except OSError as error:
            said = f'exec: "{self.name}": stat {path}: {(error.strerror or "").lower()}'
            raise Failure(said, exit_code=NO_SUCH_COMMAND) from None
        if stat.S_ISDIR(mode) or not os.access(os.path.join(self.directory, path), os.X_OK):
            raise Failure(f'exec: "{self.name}": permission denied', exit_code=NOT_EXECUTABLE)
