"""What the first process of a container shall become."""

from collections.abc import Callable

from mydocker.container.channel import Channel
from mydocker.kernel.records import field, record

Answer = Callable[[int], bytes]


@record
class Process:
    """The command and what it finds around it.

    ``arguments`` the command and its arguments, at least one; ``environment`` all of its
    variables; ``directory`` where it starts, "" for wherever it is; ``terminal`` give it a
    terminal of its own (Docker's ``-t``); ``input`` hand our standard input on, else it reads
    /dev/null (``-i``); ``init`` put a small reaper in front of it as PID 1.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    directory: str = ""
    terminal: bool = False
    input: bool = True
    init: bool = False

    def execute(
        self, path: str, environment: dict[str, str], channel: Channel, answer: Answer
    ) -> None:
        """Called just before execve(2), which is next if this returns, as it does here.

        ``channel`` is our end of it, ``answer`` gives the message for it after a refusal with an
        errno. A kind of process that becomes its command in another way overrides it.
        """
