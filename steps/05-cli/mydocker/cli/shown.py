"""``… inspect``: several things shown as one JSON list, or each by a template."""

from collections.abc import Callable, Iterable
from typing import Any

from mydocker.container.commandline import one_failed
from mydocker.container.printing import as_json, shown
from mydocker.engine.words.templates import Template
from mydocker.kernel.errors import Failure


def show(names: Iterable[str], find: Callable[[str], dict[str, Any]], form: str) -> int:
    """Print what ``find`` tells of each name; complain of those it does not know; the exit code."""
    template = Template(form) if form and form != "json" else None
    found, failures = [], []
    for name in names:
        try:
            told = find(name)
            if template:
                print(shown(template(told), form))
            found.append(told)
        except Failure as failure:
            failures.append(failure)
    if not template:
        print(as_json(found, indent=None if form else 4))
    return max(map(one_failed, failures), default=0)
