"""A fault: a piece of a file's text and what stands there instead; and lists of them on disk.

A fault is found by its text: when a function moves to another file, the fault moves with it. Lists
are TOML, so that what was chosen at random once can be run again, by anyone, in any order.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """``old`` becomes ``new`` in ``file``: see :func:`place`. ``equal``: why no test can see it.

    ``test``: the file of tests that was written for it, which is run first.
    """

    name: str
    file: str
    old: str
    new: str
    why: str = ""
    equal: str = ""
    test: str = ""

    @property
    def key(self) -> str:
        """What its result is kept under: another text is another fault."""
        text = f"{self.old}\0{self.new}".encode()
        return f"{self.name} {hashlib.sha256(text).hexdigest()[:8]}"

    @property
    def step(self) -> str:
        return self.file.partition("/")[0]


class Lost(Exception):
    """The text of a fault is nowhere, or in several places."""


def place(file: str, steps: Path) -> Path:
    """Where a fault's file is: below steps/, or, if its path begins with learn/, beside them."""
    return (steps.parent if file.startswith("learn/") else steps) / file


def located(fault: Fault, steps: Path) -> Fault:
    """The fault with the file that its text is in now. Raises Lost."""
    path = place(fault.file, steps)
    if path.is_file() and path.read_text().count(fault.old) == 1:
        return fault
    found = [path for path in sorted(steps.glob("*/**/*.py")) if fault.old in path.read_text()]
    if len(found) != 1 or found[0].read_text().count(fault.old) != 1:
        raise Lost(f"{fault.name}: its text is in {len(found)} files, not once in one: {fault.old}")
    return replace(fault, file=str(found[0].relative_to(steps)))


def put_in(fault: Fault, steps: Path) -> None:
    """Change a copy of the steps. Raises Lost, or SyntaxError where the result is no Python."""
    path = place(located(fault, steps).file, steps)
    text = path.read_text().replace(fault.old, fault.new, 1)
    compile(text, str(path), "exec")
    path.write_text(text)


def read(path: Path) -> list[Fault]:
    """All faults of a list."""
    told = tomllib.loads(path.read_text()) if path.exists() else {}
    faults = [Fault(**one) for one in told.get("fault", [])]
    names = [fault.name for fault in faults]
    assert len(set(names)) == len(names), f"{path}: a name is there twice"
    return faults


def written(faults: Iterable[Fault]) -> str:
    """Faults as TOML."""
    blocks = []
    for fault in faults:
        lines = ["[[fault]]"]
        for key in ("name", "file", "why", "equal", "test"):
            if value := getattr(fault, key):
                lines.append(f"{key} = {json.dumps(value)}")
        lines += [f"{key} = '''\n{getattr(fault, key)}'''" for key in ("old", "new")]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
