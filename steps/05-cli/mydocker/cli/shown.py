"""``… inspect``: several things shown as one JSON list, or each by a template."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from mydocker.container.printing import as_json, shown
from mydocker.engine.errors import REFUSED
from mydocker.engine.words.templates import Template
from mydocker.kernel.errors import Failure


def show(names: Iterable[str], find: Callable[[str], dict[str, Any]], form: str) -> int:
    """Print what ``find`` tells of each name; complain of those it does not know; the exit code."""
    template = Template(form) if form and form != "json" else None
    found, complaints = [], []
    for name in names:
        try:
            told = find(name)
            if template:
                print(shown(template(told), form))
            found.append(told)
        except Failure as failure:
            complaints.append(f"mydocker: {failure}")
    if not template:
        print(as_json(found, indent=None if form else 4))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return REFUSED if complaints else 0
