"""What the first process of a container shall become."""

from collections.abc import Callable

from mydocker.container.channel import Channel
from mydocker.kernel.records import field, record

Answer = Callable[[int], bytes]
Executor = Callable[[str, tuple[str, ...], dict[str, str], Channel, Answer], None]


@record
class Process:
    """The command and what it finds around it.

    ``arguments`` the command and its arguments, at least one; ``environment`` all of its
    variables; ``directory`` where it starts, "" for wherever it is; ``terminal`` give it a
    terminal of its own (Docker's ``-t``); ``input`` hand our standard input on, else it reads
    /dev/null (``-i``); ``init`` put a small reaper in front of it as PID 1.

    ``executor``, if there is one, is called in place of execve(2): with path, arguments, variables,
    our end of the channel, and a function that gives the message for it after a refusal with an
    errno. If it returns, execve(2) is next.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    directory: str = ""
    terminal: bool = False
    input: bool = True
    init: bool = False
    executor: Executor | None = None
