"""``mydocker cp``: files between the host and a container."""

import os
import sys

import click

from mydocker.cli.store import containers
from mydocker.container.flags import command
from mydocker.kernel import signals


def _parts(text: str) -> tuple[str, str]:
    """``(container, path)``; no container for a path of the host: ``/a:b``, ``./a:b``, ``a/b``."""
    name, colon, path = text.partition(":")
    if not colon or text.startswith((".", "/")) or "/" in name:
        return "", text
    return name, path


@command("cp")
@click.option("-a", "--archive", is_flag=True, help="Keep owners too.")
@click.option("-L", "--follow-link", is_flag=True, help="If SOURCE is a link, what it leads to.")
@click.option("-q", "--quiet", is_flag=True, hidden=True, expose_value=False)
@click.argument("source", metavar="[CONTAINER:]SOURCE|-")
@click.argument("target", metavar="[CONTAINER:]TARGET|-")
def cp(source: str, target: str, archive: bool, follow_link: bool) -> None:
    """Copy files between a container and the host, or to and from a tar archive (-).

    Examples: mydocker cp web:/etc/hosts .   mydocker cp web:/var/log - | tar t
    """
    from mydocker.engine import copying
    from mydocker.kernel.errors import Invalid, NotFound

    store = containers()
    (here, source_path), (there, target_path) = _parts(source), _parts(target)
    if here and there:
        raise Invalid("copying between containers is not supported")
    if not here and not there:
        raise Invalid("must specify at least one container source")
    identifier = store.find(here or there)
    host = os.open("/", os.O_PATH | os.O_CLOEXEC)
    with copying.root_of(store, identifier, write=bool(there)) as root:
        if here:
            path = source_path or "/"
            found = copying.find(root, path, f"{here}:{path}", follow=follow_link)
            if found.status is None:
                raise NotFound(f"No such container:path: {here}:{path}")
            if target == "-":
                copying.pack(found, sys.stdout.buffer.write)
                return
            into = copying.find(host, _absolute(target), target, follow=True)
            copying.copy(found, into, owner=archive)
            return
        into = copying.find(root, target_path or "/", f"{there}:{target_path}", follow=True)
        if source == "-":
            _from_standard_input(into)
            return
        found = copying.find(host, _absolute(source), source, follow=follow_link)
        if found.status is None:
            raise NotFound(f"lstat {source}: no such file or directory")
        copying.copy(found, into, owner=archive)


def _absolute(path: str) -> str:
    """From the host's root; a last ``/`` or ``/.`` has a meaning and stays."""
    return path if path.startswith("/") else f"{os.getcwd()}/{path}"


def _from_standard_input(into: "object") -> None:
    import tempfile

    from mydocker.engine import copying

    assert isinstance(into, copying.Place)
    # An archive is read to its end before anything of it is believed.
    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        while data := signals.read(0, 1 << 20):
            file.write(data)
        file.flush()
        file.seek(0)
        copying.unpack(file.fileno(), into)
