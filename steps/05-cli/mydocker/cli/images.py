"""The commands that make images of containers and carry them about: commit, export, save, load."""

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from mydocker.cli.store import containers
from mydocker.container.commandline import explain_option
from mydocker.engine.errors import Refused
from mydocker.kernel.errors import Failure
from mydocker.overlay2.image_commands import byte_bar
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.root_option import root_option

_OUTPUT = click.option("-o", "--output", metavar="FILE", help="Where to. Default: standard output.")


@click.command()
@click.option("-a", "--author", default="", help="Who made it: 'Name <name@example.org>'.")
@click.option("-m", "--message", default="", help="A word about it, for the image's history.")
@click.option("-c", "--change", multiple=True, help="A line of a Dockerfile, as 'CMD [\"sh\"]'.")
@click.option("-p", "--pause/--no-pause", default=True, help="Stand still meanwhile. Default: yes.")
@click.argument("container")
@click.argument("name", metavar="[REPOSITORY[:TAG]]", default="")
@root_option
@explain_option
def commit(
    container: str,
    name: str,
    author: str,
    message: str,
    change: Sequence[str],
    pause: bool,
    root: str,
) -> None:
    """Make an image of what a container changed.

    Example: mydocker commit -m "with vim" -c 'CMD ["vim"]' box me/vim:1
    """
    from mydocker.engine.images.commit import commit as commit_container

    with bar(f"committing {container}") as told:
        image = commit_container(
            containers(root),
            container,
            name,
            author=author,
            message=message,
            changes=change,
            pause=pause,
            progress=told,
        )
    click.echo(image.id)


@click.command()
@_OUTPUT
@click.option("--sparse", is_flag=True, help="Write holes in files as GNU tar -S does.")
@click.argument("container")
@root_option
@explain_option
def export(container: str, output: str | None, sparse: bool, root: str) -> None:
    """Write a container's files as one tar archive: no layers, no history, no volumes.

    Example: mydocker export -o box.tar box
    """
    from mydocker.engine.images.export import export as export_container

    store = containers(root)
    store.find(container)  # before anything of the output is made
    with destination(output) as fd, bar(f"exporting {container}") as told:
        export_container(store, container, fd, sparse=sparse, progress=told)


@click.command()
@_OUTPUT
@click.option(
    "--format",
    "form",
    type=click.Choice(["docker", "oci"]),
    default="docker",
    help="docker: for all tools; oci: the bare OCI image layout. Default: docker.",
)
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True)
@root_option
def save(names: Sequence[str], output: str | None, form: str, root: str) -> None:
    """Write images with all their layers and their history into one archive.

    Example: mydocker save -o both.tar busybox:latest me/vim:1
    """
    from mydocker.engine.images.save import choose
    from mydocker.engine.images.save import save as save_images

    store = ImageStore(root)
    choose(store, names)  # before anything of the output is made
    with destination(output) as fd, byte_bar("saving") as told:
        save_images(store, names, fd, form=form, progress=told)


@click.command()
@click.option("-i", "--input", "path", default="-", metavar="FILE", help="Default: standard input.")
@click.option("-q", "--quiet", is_flag=True, help="No bar.")
@root_option
def load(path: str, quiet: bool, root: str) -> None:
    """Load images from an archive that save, docker, podman or skopeo wrote, compressed or not.

    Example: mydocker load -i both.tar.gz
    """
    from mydocker.engine.images.load import load as load_images

    if path == "-" and sys.stdin.isatty():
        raise Refused("requested load from stdin, but stdin is empty")
    with byte_bar("loading") as told:
        loaded = load_images(ImageStore(root), path, progress=None if quiet else told)
    for image in loaded:
        for name, before in image.replaced:
            click.echo(
                f"The image {name} already exists, renaming the old one with ID {before} to empty"
                " string"
            )
        for name in image.names:
            click.echo(f"Loaded image: {name}")
        if not image.names:
            click.echo(f"Loaded image ID: {image.id}")


# ---------------------------------------------------------------- what they share


@contextmanager
def destination(path: str | None) -> Iterator[int]:
    """A descriptor to write to: a file that is there only when it is whole, or standard output."""
    if path is None or path == "-":
        if sys.stdout.isatty():
            raise Refused(
                "cowardly refusing to save to a terminal",
                "Use the -o option or redirect the output",
            )
        yield 1
        return
    try:
        special = not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        special = False
    draft = path if special else f"{path}.{os.getpid()}.new"
    flags = os.O_WRONLY | os.O_CLOEXEC | (0 if special else os.O_CREAT | os.O_TRUNC)
    try:
        fd = os.open(draft, flags, 0o600)
    except OSError as error:
        raise Failure(f"{path}: {os.strerror(error.errno or 0)}") from None
    try:
        yield fd
        if not special:
            os.rename(draft, path)
    except OSError as error:
        _forget(draft, special)
        if isinstance(error, Failure):
            raise
        raise Failure(f"{path}: {os.strerror(error.errno or 0)}") from None
    except BaseException:
        _forget(draft, special)
        raise
    finally:
        os.close(fd)


def _forget(draft: str, special: bool) -> None:
    if not special:
        os.unlink(draft)


@contextmanager
def bar(what: str) -> Iterator[Callable[[int], None] | None]:
    """A bar that counts bytes, for work whose end nobody knows; nothing but on a terminal."""
    with byte_bar(what) as told:
        yield None if told is None else lambda done: told(done, 0)
