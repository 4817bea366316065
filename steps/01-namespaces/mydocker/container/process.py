"""What the first process of a container shall become."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
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
