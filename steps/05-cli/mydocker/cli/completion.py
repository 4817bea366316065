"""What a shell offers after ``mydocker stop <Tab>``: the names of containers."""

import click


def container_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """The names of containers that begin so, and of no others that were named already."""
    from mydocker.cli.store import containers
    from mydocker.engine.records.store import listed

    named = context.params.get(parameter.name or "") or ()
    taken = set(named) if isinstance(named, tuple) else set()
    store = containers()
    names = listed(f"{store.path}/names")
    return [name for name in sorted(names) if name.startswith(incomplete) and name not in taken]
