"""The commands of images: images, import, rmi, tag, image inspect."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from mydocker.container.commandline import LazyGroup, one_failed
from mydocker.container.flags import Command, command
from mydocker.container.printing import as_json, shown
from mydocker.kernel.errors import Failure
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore, Use
from mydocker.overlay2.root_option import root_option

HEADINGS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_NONE = "<none>"


# ---------------------------------------------------------------- images


class _Images(Command):
    """``images`` lists; ``images NAME`` lists what is called so; ``images make`` makes."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if args[:1] == [make.name]:
            return make.make_context(f"{info_name} {make.name}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


Draw = Callable[[str, list[dict[str, str]], list[str]], None]


def images_command(draw: Draw) -> Command:
    """``images``, drawn by ``draw``: of ``--format``, the rows, and the usual columns."""

    @click.command("images", cls=_Images)
    @click.option("-a", "--all", "every", is_flag=True, help="Changes nothing: no image is hidden.")
    @click.option("-q", "--quiet", is_flag=True, help="Only the ids.")
    @click.option(
        "-f",
        "--filter",
        "written",
        multiple=True,
        metavar="KEY=VALUE",
        help="dangling=, label=, before=, since=, reference=.",
    )
    @click.option("--no-trunc", is_flag=True, help="Whole ids.")
    @click.option("--digests", is_flag=True, help="The digests of the manifests, too.")
    @click.option(
        "--format", "template", default="", help="table, json, or as '{{.Repository}} {{.ID}}'."
    )
    @click.argument("name", metavar="[REPOSITORY[:TAG]]", default="")
    @root_option
    def images(
        name: str,
        every: bool,
        quiet: bool,
        written: Sequence[str],
        no_trunc: bool,
        digests: bool,
        template: str,
        root: str,
    ) -> None:
        """List images; 'images make' makes the base images."""
        from mydocker.overlay2.image_filters import chosen

        store = ImageStore(root)
        listed = chosen(store, written)
        rows = [row for image, names in listed for row in _rows(store, image, names, no_trunc)]
        rows = [row for row in rows if _matches(name, row)]
        if quiet and template in ("", "table"):
            click.echo("".join(f"{row['ID']}\n" for row in rows), nl=False)
            return
        digest = ["Digest"] if digests else []
        draw(template, rows, ["Repository", "Tag", *digest, "ID", "CreatedSince", "Size"])

    return images


def _drawn(template: str, rows: list[dict[str, str]], columns: list[str]) -> None:
    from mydocker.overlay2.image_list import formatted

    if template in ("", "table"):
        template = "table " + "\t".join(f"{{{{.{column}}}}}" for column in columns)
    click.echo(shown(formatted(template, rows, HEADINGS), template), nl=False)


images = images_command(_drawn)


def _rows(
    store: ImageStore, image: Image, names: Sequence[str], whole: bool
) -> Iterator[dict[str, str]]:
    """One row for each of ``names``; one without a name for an untagged image."""
    from mydocker.overlay2 import image_list

    since = image_list.since(image.created)
    size = image_list.size(store.size(image))
    for name in names or (f"{_NONE}:{_NONE}",):
        repository, _, tag = name.rpartition(":")
        yield {
            "Repository": repository,
            "Tag": tag,
            "Digest": image.manifest,
            "ID": image.id if whole else image.short_id,
            "CreatedSince": since,
            "CreatedAt": image_list.created_at(image.created),
            "Size": size,
            "VirtualSize": size,
            **dict.fromkeys(("SharedSize", "UniqueSize", "Containers"), "N/A"),
        }


def _matches(name: str, row: dict[str, str]) -> bool:
    """``busybox`` stands for all its tags, ``busybox:1`` for itself, and ``*`` for anything."""
    from fnmatch import fnmatchcase

    from mydocker.overlay2.reference import InvalidReference, parse

    if not name:
        return True
    try:
        reference = parse(name)
        repository, tag = reference.repository, reference.tag
    except InvalidReference:
        repository, _, tag = name.partition(":")
    return fnmatchcase(row["Repository"], repository) and fnmatchcase(row["Tag"], tag or "*")


@command()
@click.argument("name", type=click.Choice(["busybox", "debian"]))
@root_option
def make(name: str, root: str) -> None:
    """Make a base image: busybox from Debian's busybox-static, debian with debootstrap."""
    from mydocker.overlay2.base import RECIPES

    with _spinner(f"making {name}") as report:
        image = RECIPES[name](ImageStore(root), report)
    click.echo(image.id)


@contextmanager
def _spinner(what: str) -> Iterator[Callable[[str], None]]:
    """The steps of a work of unknown length: a bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield lambda line: click.echo(line, err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda line: progress.update(task, description=line)


# ---------------------------------------------------------------- import


@command("import")
@click.argument("file", metavar="FILE|URL|-")
@click.argument("names", metavar="[REPOSITORY[:TAG]]", nargs=-1)  # as Docker, the first counts
@click.option("-c", "--change", multiple=True, help="A line of a Dockerfile, as 'CMD [\"sh\"]'.")
@click.option("-m", "--message", default="", help="A word about it, for the image's history.")
@root_option
def import_command(
    file: str, names: Sequence[str], change: Sequence[str], message: str, root: str
) -> None:
    """Make an image of one layer from the tar archive FILE of a root directory."""
    from mydocker.overlay2.image import ImageConfig
    from mydocker.overlay2.importing import import_archive
    from mydocker.overlay2.instructions import apply

    config = apply(ImageConfig(), change)
    with byte_bar(f"importing {file}") as progress:
        image = import_archive(
            ImageStore(root),
            file,
            names[0] if names else "",
            config=config,
            message=message,
            progress=progress,
        )
    click.echo(image.id)


@contextmanager
def byte_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar for bytes, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, size: progress.update(task, completed=done, total=size or None)


# ---------------------------------------------------------------- rmi, tag, inspect


@command()
@click.argument("names", metavar="IMAGE [IMAGE...]", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Even if containers or other names refer to it.")
@root_option
def rmi(names: Sequence[str], force: bool, root: str) -> int:
    """Remove names of images, and images without any name left."""
    return remove_each(ImageStore(root), names, force)


def remove_each(
    store: ImageStore,
    names: Sequence[str],
    force: bool,
    used_by: Callable[[str], Sequence[Use]] = lambda image_id: (),
) -> int:
    """Remove images and print what was done; one that fails does not keep the others. The exit
    code."""
    code = 0
    for name in names:
        try:
            for line in store.remove(name, force=force, used_by=used_by):
                click.echo(line)
        except Failure as failure:
            code = one_failed(failure)
    return code


@command(context_settings={"allow_interspersed_args": False})
@click.argument("source", metavar="SOURCE_IMAGE[:TAG]")
@click.argument("target", metavar="TARGET_IMAGE[:TAG]")
@root_option
def tag(source: str, target: str, root: str) -> None:
    """Give an image one more name."""
    ImageStore(root).tag(source, target)


@click.group(cls=LazyGroup)
def image() -> None:
    """Work with one image."""


@image.command()
@click.argument("names", metavar="IMAGE [IMAGE...]", nargs=-1, required=True)
@click.option("-f", "--format", "template", default="", help="As '{{.Id}}' or '{{json .Config}}'.")
@root_option
def inspect(names: Sequence[str], template: str, root: str) -> None:
    """Show all that is known about images, as JSON."""
    from mydocker.overlay2.image_list import render
    from mydocker.overlay2.image_view import described

    store = ImageStore(root)
    found = [described(store, store.resolve(name)) for name in names]
    if template in ("", "json"):
        click.echo(as_json(found, indent=4 if not template else None))
    else:
        for value in found:
            click.echo(shown(render(template, value), template))
