"""What every notebook begins with: ``from workbench import …``.

================  ===========================================================================
``room``          namespaces, directories and a control group for this kernel alone
``guardian``      the process that takes all of it away when the kernel ends, however it ends
``recorded``      without root: the outputs that are stored in place of a cell that needs it
``doing``         commands, processes in the background, functions in a process of their own
``sampling``      numbers of a control group, many times a second
``packets``       what passes an interface: Ethernet, ARP, IPv4, ICMP and TCP, decoded
``pictures``      curves, bars, matrices; ``Live`` is one that changes while it is looked at
``drawings``      layers that lie on each other, packets that travel, an address space
``exercises``     ``check(n)``, ``hint(n)``, ``answer(n)``
================  ===========================================================================

Importing it enters the room, once.
"""

import workbench.stacked  # noqa: F401  # first: the others import the steps
from workbench.doing import apart, shell, start, stop, wait_for
from workbench.exercises import answer, check, exercise, hint
from workbench.recorded import guess
from workbench.room import enter

__all__ = [
    "answer",
    "apart",
    "check",
    "exercise",
    "guess",
    "hint",
    "room",
    "shell",
    "start",
    "stop",
    "wait_for",
]

room = enter()
