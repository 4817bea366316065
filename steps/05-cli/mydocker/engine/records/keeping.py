"""What the stores of earlier steps tell becomes events, in every process that imports this module.

Everything that works with containers does, through the store; a command line that has commands of
the earlier steps says so itself.
"""

from collections.abc import Mapping

from mydocker.container import news


def _keep(
    root: str, kind: str, action: str, identifier: str, attributes: Mapping[str, str]
) -> None:
    from mydocker.engine.records import events

    events.tell_of(root, kind, action, identifier, attributes)


news.listen(_keep)
