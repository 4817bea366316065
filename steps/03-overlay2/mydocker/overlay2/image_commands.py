"""The commands of images: images, import, rmi, tag, image inspect."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from mydocker.container.commandline import one_failed
from mydocker.container.printing import as_json, shown
from mydocker.kernel.errors import Failure
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore, Use
from mydocker.overlay2.root_option import root_option

_HEADINGS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}
_NONE = "<none>"


# ---------------------------------------------------------------- images


class _Images(click.Group):
    """``images`` lists; ``images NAME`` lists what is called so; ``images make`` makes."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return _listing.name, _listing, args


@click.group(cls=_Images, invoke_without_command=True, subcommand_metavar="[REPOSITORY[:TAG]]")
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
@root_option
@click.pass_context
def images(context: click.Context, /, **options: Any) -> None:
    """List images; 'images make' makes the base images."""
    if context.invoked_subcommand is None:
        _list("", **options)


@click.command("images", hidden=True)
@click.argument("name", metavar="[REPOSITORY[:TAG]]")
@click.pass_context
def _listing(context: click.Context, name: str) -> None:
    assert context.parent
    _list(name, **context.parent.params)


def _list(
    name: str,
    every: bool,
    quiet: bool,
    written: Sequence[str],
    no_trunc: bool,
    digests: bool,
    template: str,
    root: str,
) -> None:
    from mydocker.overlay2.image_filters import chosen
    from mydocker.overlay2.image_list import formatted

    store = ImageStore(root)
    listed = chosen(store, written)
    rows = [row for image, names in listed for row in _rows(store, image, names, no_trunc)]
    rows = [row for row in rows if _matches(name, row)]
    if quiet and template in ("", "table"):
        click.echo("".join(f"{row['ID']}\n" for row in rows), nl=False)
        return
    if template in ("", "table"):
        columns = [
            "Repository",
            "Tag",
            *(["Digest"] if digests else []),
            "ID",
            "CreatedSince",
            "Size",
        ]
        template = "table " + "\t".join(f"{{{{.{column}}}}}" for column in columns)
    click.echo(shown(formatted(template, rows, _HEADINGS), template), nl=False)


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
            "CreatedAt": image.created,
            "Size": size,
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


@images.command()
@click.argument("name", type=click.Choice(["busybox", "debian"]))
@root_option
@click.pass_context
def make(context: click.Context, name: str, root: str) -> None:
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


@click.command("import")
@click.argument("file", metavar="FILE|URL|-")
@click.argument("name", metavar="[REPOSITORY[:TAG]]", default="")
@click.option("-c", "--change", multiple=True, help="A line of a Dockerfile, as 'CMD [\"sh\"]'.")
@click.option("-m", "--message", default="", help="A word about it, for the image's history.")
@root_option
def import_command(file: str, name: str, change: Sequence[str], message: str, root: str) -> None:
    """Make an image of one layer from the tar archive FILE of a root directory."""
    from mydocker.overlay2.image import ImageConfig
    from mydocker.overlay2.importing import import_archive
    from mydocker.overlay2.instructions import apply

    config = apply(ImageConfig(), change)
    with byte_bar(f"importing {file}") as progress:
        image = import_archive(
            ImageStore(root), file, name, config=config, message=message, progress=progress
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


@click.command()
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True)
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


@click.command()
@click.argument("source", metavar="IMAGE")
@click.argument("target", metavar="NAME[:TAG]")
@root_option
def tag(source: str, target: str, root: str) -> None:
    """Give an image one more name."""
    ImageStore(root).tag(source, target)


@click.group()
def image() -> None:
    """Work with one image."""


@image.command()
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True)
@click.option("-f", "--format", "template", default="", help="As '{{.Id}}' or '{{json .Config}}'.")
@root_option
def inspect(names: Sequence[str], template: str, root: str) -> None:
    """Show all that is known about images, as JSON."""
    from mydocker.overlay2.image_list import render

    store = ImageStore(root)
    found = [described(store, store.resolve(name)) for name in names]
    if template in ("", "json"):
        click.echo(as_json(found, indent=4 if not template else None))
    else:
        for value in found:
            click.echo(shown(render(template, value), template))


def described(store: ImageStore, image: Image) -> dict[str, Any]:
    """An image by the field names of ``docker image inspect``."""
    layers = [store.layer_store.layer(layer_id) for layer_id in store.layers(image)]
    data = {}
    if layers:
        data = {
            "LowerDir": ":".join(layer.diff for layer in layers[1:]),
            "MergedDir": layers[0].merged,
            "UpperDir": layers[0].diff,
            "WorkDir": layers[0].work if layers[0].lower else "",
        }
    history = image.document.get("history") or [{}]
    return {
        "Id": image.id,
        "RepoTags": list(image.names),
        "RepoDigests": sorted(
            {f"{name.rpartition(':')[0]}@{image.manifest}" for name in image.names}
        ),
        "Comment": history[-1].get("comment", ""),
        "Created": image.created,
        "Author": image.document.get("author", ""),
        "Architecture": image.document.get("architecture", ""),
        "Os": image.document.get("os", ""),
        "Size": store.size(image),
        "Config": image.document.get("config") or {},
        "GraphDriver": {"Name": "overlay2", "Data": {k: v for k, v in data.items() if v}},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
    }
