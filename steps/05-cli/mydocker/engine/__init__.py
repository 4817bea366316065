"""Step 05, the engine: the life of containers as a library, which prints nothing.

Whoever uses any of it keeps events: what the stores of earlier steps tell is written down.
"""

from collections.abc import Mapping

from mydocker.container import news


def _keep(
    root: str, kind: str, action: str, identifier: str, attributes: Mapping[str, str]
) -> None:
    from mydocker.engine.records import events

    events.tell_of(root, kind, action, identifier, attributes)


news.listen(_keep)
