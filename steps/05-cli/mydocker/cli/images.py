"""The commands that make images of containers and carry them about: commit, export, save, load."""

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from mydocker.cli.pruning import agreed, prune_options, report, report_space
from mydocker.cli.store import containers
from mydocker.container.commandline import explain_option
from mydocker.container.flags import command
from mydocker.engine.images.history import Step
from mydocker.kernel.errors import Failure, Invalid, by_errno
from mydocker.overlay2.image_commands import HEADINGS, byte_bar, images_command, remove_each
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.root_option import root_option

_OUTPUT = click.option("-o", "--output", metavar="FILE", help="Where to. Default: standard output.")
_COMPRESS = click.option(
    "--compress",
    type=click.Choice(["gzip", "zstd"]),
    help="Compress what is written, on all processors.",
)


@command(context_settings={"allow_interspersed_args": False})
@click.option("-a", "--author", default="", help="Who made it: 'Name <name@example.org>'.")
@click.option("-m", "--message", default="", help="A word about it, for the image's history.")
@click.option("-c", "--change", multiple=True, help="A line of a Dockerfile, as 'CMD [\"sh\"]'.")
@click.option("-p", "--pause/--no-pause", default=True, help="Pause it meanwhile. Default: yes.")
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


@command()
@_OUTPUT
@_COMPRESS
@click.option("--sparse", is_flag=True, help="Write holes in files as GNU tar -S does.")
@click.argument("container")
@root_option
@explain_option
def export(
    container: str, output: str | None, compress: str | None, sparse: bool, root: str
) -> None:
    """Write a container's files as one tar archive: no layers, no history, no volumes.

    Example: mydocker export -o box.tar box
    """
    from mydocker.engine.images.compressing import compressed
    from mydocker.engine.images.export import export as export_container

    store = containers(root)
    store.find(container)  # before anything of the output is made
    with (
        destination(output) as out,
        bar(f"exporting {container}") as told,
        compressed(out, compress) as fd,
    ):
        export_container(store, container, fd, sparse=sparse, progress=told)


@command()
@_OUTPUT
@_COMPRESS
@click.option(
    "--format",
    "form",
    type=click.Choice(["docker", "oci"]),
    default="docker",
    help="docker: for all tools; oci: the bare OCI image layout. Default: docker.",
)
@click.argument("names", metavar="IMAGE [IMAGE...]", nargs=-1, required=True)
@root_option
def save(
    names: Sequence[str], output: str | None, compress: str | None, form: str, root: str
) -> None:
    """Write images with all their layers and their history into one archive.

    Example: mydocker save -o both.tar busybox:latest me/vim:1
    """
    from mydocker.engine.images.compressing import compressed
    from mydocker.engine.images.save import choose
    from mydocker.engine.images.save import save as save_images

    store = ImageStore(root)
    choose(store, names)  # before anything of the output is made
    with (
        destination(output) as out,
        byte_bar("saving") as told,
        compressed(out, compress) as fd,
    ):
        save_images(store, names, fd, form=form, progress=told)


@command()
@click.option("-i", "--input", "path", default="-", metavar="FILE", help="Default: standard input.")
@click.option("-q", "--quiet", is_flag=True, help="No bar.")
@root_option
def load(path: str, quiet: bool, root: str) -> None:
    """Load images from an archive that save, docker, podman or skopeo wrote, compressed or not.

    Example: mydocker load -i both.tar.gz
    """
    from mydocker.engine.images.load import load as load_images

    if path == "-" and sys.stdin.isatty():
        raise Invalid("requested load from stdin, but stdin is empty")
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


# ---------------------------------------------------------------- look, and clean up


def _drawn(form: str, rows: list[dict[str, str]], columns: list[str]) -> None:
    from mydocker.cli.output import formatted

    formatted(form, rows, HEADINGS, columns)


images = images_command(_drawn)


@command()
@click.argument("names", metavar="IMAGE [IMAGE...]", nargs=-1, required=True)
@click.option("-f", "--format", "form", default="", metavar="TEMPLATE", help="As '{{.Id}}'.")
@root_option
def inspect(names: Sequence[str], form: str, root: str) -> int:
    """Show all that is known of images, as JSON."""
    from mydocker.cli.shown import show
    from mydocker.overlay2.image_view import described

    store = ImageStore(root)
    return show(names, lambda name: described(store, store.resolve(name)), form, "Image")


_STEP_HEADINGS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_SHORT_COMMAND = 45


@command()
@click.option("-H", "--human/--no-human", default=True, help="Sizes and times for people.")
@click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")
@click.option("-q", "--quiet", is_flag=True, help="Only the ids.")
@click.option("--format", "template", default="", help="table, json, or as '{{.CreatedBy}}'.")
@click.argument("name", metavar="IMAGE")
@root_option
def history(name: str, human: bool, no_trunc: bool, quiet: bool, template: str, root: str) -> None:
    """Show the steps by which an image was made."""
    from mydocker.cli.output import formatted
    from mydocker.engine.images.history import history as steps_of

    store = ImageStore(root)
    rows = [_step_row(step, human, no_trunc) for step in steps_of(store, store.resolve(name))]
    if quiet:
        click.echo("".join(f"{row['ID']}\n" for row in rows), nl=False)
        return
    columns = ["ID", "CreatedSince" if human else "CreatedAt", "CreatedBy", "Size", "Comment"]
    formatted(template, rows, _STEP_HEADINGS, columns)


def _step_row(step: Step, human: bool, whole: bool) -> dict[str, str]:
    from mydocker.overlay2 import image_list

    image = step.image if whole else step.image.removeprefix("sha256:")[:12]
    command = " ".join(step.created_by.split())
    if not whole and len(command) > _SHORT_COMMAND:
        command = command[: _SHORT_COMMAND - 1] + "…"
    return {
        "ID": image,
        "CreatedSince": image_list.since(step.created),
        "CreatedAt": step.created,
        "CreatedBy": command,
        "Size": image_list.size(step.size) if human else str(step.size),
        "Comment": step.comment,
    }


@command()
@click.argument("names", metavar="IMAGE [IMAGE...]", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Even if containers or other names refer to it.")
@root_option
@explain_option
def rmi(names: Sequence[str], force: bool, root: str) -> int:
    """Remove names of images, and images without any name left."""
    from mydocker.engine.images.uses import uses

    store = containers(root)
    return remove_each(ImageStore(root), names, force, uses(store))


@command()
@click.option("-a", "--all", "every", is_flag=True, help="Those with a name too, if unused.")
@prune_options("until=24h, label=, label!=, dangling=.")
@root_option
@explain_option
def prune(every: bool, force: bool, written: Sequence[str], root: str) -> None:
    """Remove the images that have no name and no container."""
    from mydocker.engine.images import unused
    from mydocker.engine.words.filters import parse

    chosen = parse(written, unused.FILTERS)
    which = (
        "images without at least one container associated to them" if every else ("dangling images")
    )
    if not agreed(f"This will remove all {which}.", force):
        return
    pruned = unused.prune(containers(root), every=every, chosen=chosen)
    report("Images", (line[0].lower() + line[1:] for line in pruned.said))
    report_space(pruned.space)


# ---------------------------------------------------------------- what they share


@contextmanager
def destination(path: str | None) -> Iterator[int]:
    """A descriptor to write to: a file that is there only when it is whole, or standard output."""
    if not path or path == "-":
        if sys.stdout.isatty():
            raise Invalid(
                "cowardly refusing to save to a terminal",
                "Use the -o option or redirect the output",
            )
        yield 1
        return
    try:
        special = not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        special = False  # not there; or the name is impossible, and then open says so
    draft = path if special else f"{path}.{os.getpid()}.new"
    flags = os.O_WRONLY | os.O_CLOEXEC | (0 if special else os.O_CREAT | os.O_TRUNC)
    try:
        fd = os.open(draft, flags, 0o600)
    except OSError as error:
        raise by_errno(error.errno, named=True)(
            f"{path}: {os.strerror(error.errno or 0)}"
        ) from None
    try:
        yield fd
        if not special:
            os.rename(draft, path)
    except OSError as error:
        _forget(draft, special)
        if isinstance(error, Failure):
            raise
        raise by_errno(error.errno, named=True)(
            f"{path}: {os.strerror(error.errno or 0)}"
        ) from None
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
