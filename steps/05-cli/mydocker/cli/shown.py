"""``… inspect``: several things shown as one JSON list, or each by a template."""

from collections.abc import Callable, Iterable
from typing import Any

from mydocker.container.commandline import one_failed
from mydocker.container.printing import as_json, shown
from mydocker.engine.words.gotypes import typed
from mydocker.engine.words.templates import BAD_TEMPLATE, Template
from mydocker.kernel.errors import Failure


def show(
    names: Iterable[str], find: Callable[[str], dict[str, Any]], form: str, kind: str = ""
) -> int:
    """Print what ``find`` tells of each name; complain of those it does not know; the exit code.

    ``kind``: the type that Docker's client has for it, of those in gotypes.py; "" if ``find`` makes
    values of such a type itself.
    """
    template = Template(form, failed=BAD_TEMPLATE) if form and form != "json" else None
    found, failures, printed = [], [], 0
    for name in names:
        try:
            told = find(name)
            if template:
                print(shown(template.told(typed(told, kind) if kind else told), form))
                printed += 1
            found.append(told)
        except Failure as failure:
            failures.append(failure)
    if not template:
        print(as_json(found, indent=None if form else 4))
    elif not printed:
        print()  # as Docker does, so that there is a line in any case
    return max(map(one_failed, failures), default=0)
