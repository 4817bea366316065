"""Images: a name, a configuration, and layers that are ready to be mounted.

An image is content (``content``): a manifest that lists a configuration and layers. Its id is the
digest of the configuration. Each layer is also unpacked under ``overlay2`` (``layers``), where
``layerdb`` finds it by its ChainID.

``run`` asks for one image at every start, so what it needs here imports little and reads four
small files.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from mydocker.container import news
from mydocker.kernel import files
from mydocker.kernel.errors import Conflict, Failure, Invalid, NotFound
from mydocker.kernel.records import record, replace
from mydocker.kernel.whole import Damaged
from mydocker.overlay2 import digest as digests
from mydocker.overlay2 import workspace
from mydocker.overlay2.content import (
    CONFIG,
    DAMAGED,
    LAYER,
    MANIFEST,
    ContentStore,
    Json,
    Named,
    encode,
)
from mydocker.overlay2.image import SHORT_ID, Image, ImageConfig, short
from mydocker.overlay2.layerdb import LayerDB, Registered
from mydocker.overlay2.layers import LayerStore


class NoSuchImage(NotFound):
    """There is no image of this name or id."""

    def __init__(self, name: str, hint: str = "") -> None:
        super().__init__(f"No such image: {name}", hint)


@record
class NewLayer:
    """A layer in a workspace, before it belongs to the store.

    ``diff`` is the unpacked directory and ``blob`` the archive; ``size`` counts the bytes of the
    files, ``blob_size`` those of the archive.
    """

    diff_id: str
    diff: str
    size: int
    blob: str
    blob_size: int


def _names_of(manifest: str, index: Iterable[Named]) -> tuple[str, ...]:
    return tuple(entry.name for entry in index if entry.digest == manifest and entry.name)


def _nobody(image_id: str) -> "Sequence[Use]":
    return ()


class ImageStore:
    """The images under ``root``. Making the object touches nothing."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.content = ContentStore(root)
        self.layer_store = LayerStore(root)
        self.layerdb = LayerDB(root)

    # ------------------------------------------------------------ look

    def resolve(self, name: str) -> Image:
        """The image called ``name``: a name with or without tag, an id, or the beginning of one.

        Raises NoSuchImage, or InvalidReference for what cannot be a name.
        """
        index = self.content.index()
        by_name = {entry.name: entry for entry in index if entry.name}
        # Most names are found as they are written, and need not be taken apart.
        entry = by_name.get(name) or by_name.get(f"{name}:latest")
        if entry:
            return self._image(entry.digest, index)
        found = self._by_id(name, index)
        if found:
            return found
        from mydocker.overlay2.reference import parse

        reference = parse(name)
        entry = by_name.get(reference.name)
        if reference.digest:
            entry = next((e for e in index if e.digest == reference.digest), None)
        if entry is None:
            shown = f"{reference.repository}@{reference.digest}"
            raise NoSuchImage(shown if reference.digest else reference.name)
        return self._image(entry.digest, index)

    def find(self, name: str) -> Image | None:
        """As :meth:`resolve`, and None if there is no such image."""
        try:
            return self.resolve(name)
        except NoSuchImage:
            return None

    def _by_id(self, text: str, index: list[Named]) -> Image | None:
        digits = text.removeprefix(digests.ALGORITHM)
        if not digests.is_hex(digits) or len(digits) > 64:
            return None
        manifests = dict.fromkeys(entry.digest for entry in index)
        ids = {}
        for manifest in manifests:
            with suppress(Damaged):
                ids[self.content.manifest(manifest).configuration] = manifest
        found = [image_id for image_id in ids if image_id.startswith(digests.ALGORITHM + digits)]
        if len(found) > 1:
            raise Invalid(f"{text}: more than one image's id begins so", "Write more of its digits")
        if not found and (text != digits or len(digits) == 64):
            raise NoSuchImage(text)
        return self._image(ids[found[0]], index) if found else None

    def _image(self, manifest: str, index: list[Named]) -> Image:
        image_id = self.content.manifest(manifest).configuration
        document = self.content.document(image_id)
        try:
            config = ImageConfig.from_json(document.get("config") or {})
        except (AttributeError, TypeError, ValueError):
            raise Damaged(self.content.blob(image_id), DAMAGED) from None
        names, diff_ids = _names_of(manifest, index), tuple(document["rootfs"]["diff_ids"])
        return Image(image_id, manifest, names, document, config, diff_ids)

    def all(self) -> list[Image]:
        """All images that can be used, the youngest first; see also :meth:`listed`."""
        return self.listed()[0]

    def listed(self) -> tuple[list[Image], list[tuple[Image, Damaged]]]:
        """:meth:`all`, and those that are no more than a name, each with what is wrong with it."""
        index = self.content.index()
        images, damaged = [], []
        for manifest in dict.fromkeys(entry.digest for entry in index):
            try:
                images.append(self._image(manifest, index))
            except Damaged as damage:
                names = _names_of(manifest, index)
                damaged.append((Image("<damaged>", manifest, names, {}, ImageConfig(), ()), damage))
        return sorted(images, key=lambda image: image.created, reverse=True), damaged

    def layers(self, image: Image) -> list[str]:
        """The ids of the image's layer directories, top first, as overlayfs wants them.

        Raises Failure if one is not there.
        """
        return self.parents(image.id, image.diff_ids)[::-1]

    def parents(self, image_id: str, diff_ids: Sequence[str]) -> list[str]:
        """The ids of the layer directories of an image with these DiffIDs, from the bottom up.

        Raises Failure if one is not there.
        """
        found = []
        for chain_id in digests.chain_ids(diff_ids):
            cache_id = self.layerdb.cache_id(chain_id)
            if not cache_id or not self.layer_store.exists(cache_id):
                raise Failure(
                    f"image {short(image_id)}: its layer {chain_id} is not there",
                    "The image store is damaged: remove the image and import it again",
                )
            found.append(cache_id)
        return found

    def size(self, image: Image) -> int:
        """The bytes of the files in all layers of the image, as Docker counts them."""
        return sum(self.layerdb.size(chain_id) for chain_id in image.chain_ids)

    # ------------------------------------------------------------ change

    def commit(
        self,
        work: str,
        document: Json,
        layers: Sequence[NewLayer],
        names: Iterable[str] = (),
        *,
        raw: bytes = b"",
        loaded: bool = False,
    ) -> Image:
        """Make an image of new layers, all in the workspace ``work``, and give it ``names``.

        ``document`` is the image's configuration; its ``rootfs.diff_ids`` may begin with layers
        that the store has already and must end with the new ones. A layer that is there is not
        added again. ``raw`` is the document as somebody else wrote it: only the same bytes give the
        same id. ``loaded``: it came with its names, and that is told at once, as Docker does.
        Raises Failure for a name that is none.
        """
        from mydocker.overlay2.reference import parse

        tags = [parse(name).name for name in names]
        new: dict[str, list[NewLayer]] = {}
        for layer in layers:  # an image may have the same layer twice, at two places of the stack
            new.setdefault(layer.diff_id, []).append(layer)
        with self.content.lock():
            chain = digests.chain_ids(document["rootfs"]["diff_ids"])
            for chain_id, diff_id in zip(chain, document["rootfs"]["diff_ids"], strict=True):
                if diff_id not in new and not self.layerdb.cache_id(chain_id):
                    hint = "An image was removed meanwhile: try again"
                    raise Conflict(f"the layer {chain_id} is not in the store any more", hint)
            descriptors = []
            for number, diff_id in enumerate(document["rootfs"]["diff_ids"]):
                if new.get(diff_id) and not self._has_layer(chain[number], diff_id):
                    self._add_layer(work, chain[: number + 1], new[diff_id].pop(0))
                size = self._blob_size(diff_id)
                descriptors.append({"mediaType": LAYER, "digest": diff_id, "size": size})
            manifest = self.content.write(
                {
                    "schemaVersion": 2,
                    "mediaType": MANIFEST,
                    "config": {"mediaType": CONFIG} | self.content.put(raw or encode(document)),
                    "layers": descriptors,
                }
            )
            entry = Named("", manifest["digest"], manifest["size"])
            index = self._named(self.content.index(), entry, tags)
            self.content.write_index(index)
            image = self._image(entry.digest, index)
            for tag in [image.id] if loaded else tags:
                self.tell(image, "load" if loaded else "tag", tag)
            return image

    def tell(self, image: Image, action: str, name: str = "") -> None:
        """Say what happened to an image, by ``name`` or by its id."""
        identifier = image.id
        attributes = dict(image.config.labels) | {"name": name or identifier}
        news.tell(self.root, "image", action, identifier, attributes)

    def _has_layer(self, chain_id: str, diff_id: str) -> bool:
        return self.content.has(diff_id) and bool(self.layerdb.cache_id(chain_id))

    def _blob_size(self, diff_id: str) -> int:
        try:
            return os.stat(self.content.blob(diff_id)).st_size
        except FileNotFoundError:
            raise Conflict(
                f"the layer {diff_id} below is not in the store any more",
                "Its image was removed; export the container instead",
            ) from None

    def _add_layer(self, work: str, chain: list[str], layer: NewLayer) -> None:
        if not self.content.has(layer.diff_id):
            self.content.adopt(layer.blob, layer.diff_id)
        if self.layerdb.cache_id(chain[-1]):  # only the archive was missing
            return
        below = [self.layerdb.cache_id(chain_id) for chain_id in chain[:-1]]
        cache_id = os.urandom(32).hex()
        parent = chain[-2] if below else ""
        registered = Registered(chain[-1], cache_id, layer.diff_id, parent, layer.size)
        self.layerdb.draft(work, registered)
        directory = self.layer_store.create(below, cache_id)
        os.rename(layer.diff, directory.diff)  # over the empty directory that was made there
        self.layerdb.publish(work, chain[-1])

    def _named(self, index: list[Named], entry: Named, tags: Sequence[str]) -> list[Named]:
        """The index after ``entry`` got ``tags``, and other entries have lost them."""
        kept = [
            Named("" if old.name in tags else old.name, old.digest, old.size)
            for old in index
            if not (old.name in tags and old.digest == entry.digest)
        ]
        kept += [Named(tag, entry.digest, entry.size) for tag in tags] or [entry]
        return _without_idle_lines(kept)

    def tag(self, source: str, target: str) -> None:
        """Give the image ``source`` one more name; if another image has it, that one loses it."""
        from mydocker.overlay2.reference import parse

        reference = parse(target)
        if reference.digest:
            raise Invalid("refusing to create a tag with a digest reference")
        with self.content.lock():
            image = self.resolve(source)
            index = self.content.index()
            entry = next(entry for entry in index if entry.digest == image.manifest)
            self.content.write_index(self._named(index, entry, [reference.name]))
            self.tell(image, "tag", reference.name)

    def remove(
        self,
        name: str,
        *,
        force: bool = False,
        used_by: Callable[[str], Sequence["Use"]] = _nobody,
    ) -> list[str]:
        """Take a name from an image, with the last one the image; what was done, as Docker says.

        Named by its id, an image goes with all its names; more than one repository takes ``force``.
        ``used_by`` returns the containers of an image id. Where there are some, it takes ``force``:
        then the image goes, and the layers stay under the containers. Under a container that runs
        it stays itself, without a name.
        """
        with workspace.workspace(self.root) as work, self.content.lock():
            try:
                image = self.resolve(name)
            except Damaged:
                return self._remove_damaged(name, work)
            removed = self._names_to_remove(image, name)
            last = set(removed) == set(image.names)
            uses = used_by(image.id) if last else ()
            self._refuse(image, name, removed, uses, force)
            stays = any(use.running for use in uses)
            index = self.content.index()
            if last and not stays:
                index = [entry for entry in index if entry.digest != image.manifest]
            elif last:
                entry = next(entry for entry in index if entry.digest == image.manifest)
                index = [one for one in index if one.digest != image.manifest]
                index.append(replace(entry, name=""))
            else:
                index = [entry for entry in index if entry.name not in removed]
            self.content.write_index(index)
            said = [f"Untagged: {tag}" for tag in removed]
            for _ in removed:
                self.tell(image, "untag")
            if last and not stays:
                self.tell(image, "delete")
                said.append(f"Deleted: {image.id}")
                said += [f"Deleted: {chain_id}" for chain_id in self._sweep(work).layers]
            return said

    def _remove_damaged(self, name: str, work: str) -> list[str]:
        """Take all its names from an image that cannot be read: what it was made of goes as well.

        Raises Damaged for what is no name of one.
        """
        from mydocker.overlay2.reference import parse

        wanted = parse(name).name
        found = [image for image, _ in self.listed()[1] if wanted in image.names]
        if not found:
            self.resolve(name)
        gone = {image.manifest for image in found}
        self.content.write_index([one for one in self.content.index() if one.digest not in gone])
        for image in found:  # its id is not known
            for _ in image.names:
                self.tell(replace(image, id=image.manifest), "untag")
            self.tell(replace(image, id=image.manifest), "delete")
        self._sweep(work)
        return [f"Untagged: {tag}" for image in found for tag in image.names]

    def _is_name_of(self, image: Image, name: str) -> bool:
        from mydocker.overlay2.reference import InvalidReference, parse

        try:
            return parse(name).name in image.names
        except InvalidReference:
            return False

    def _refuse(
        self, image: Image, name: str, removed: Sequence[str], uses: Sequence["Use"], force: bool
    ) -> None:
        """Raise the Failure that Docker raises, if the image must not be removed so."""
        by_id = not self._is_name_of(image, name)
        repositories = {tag.rpartition(":")[0] for tag in removed}
        if len(repositories) > 1 and not force:
            raise Conflict(
                f"conflict: unable to delete {image.short_id} (must be forced)"
                " - image is referenced in multiple repositories",
                "Remove it by its names, or with --force",
            )
        running = next((use for use in uses if use.running), None)
        if by_id and running:
            raise Conflict(
                f"conflict: unable to delete {image.short_id} (cannot be forced)"
                f" - image is being used by running container {running.container[:SHORT_ID]}",
                "Stop and remove the container first",
            )
        if uses and not force:
            container = uses[0].container[:SHORT_ID]
            if by_id:
                message = (
                    f"conflict: unable to delete {image.short_id} (must be forced)"
                    f" - image is being used by stopped container {container}"
                )
            else:
                message = (
                    f'conflict: unable to remove repository reference "{name}" (must force)'
                    f" - container {container} is using its referenced image {image.short_id}"
                )
            raise Conflict(message, "Remove the container first")

    def _names_to_remove(self, image: Image, name: str) -> list[str]:
        """The one that was named; all if the image was named by its id."""
        from mydocker.overlay2.reference import parse

        return [parse(name).name] if self._is_name_of(image, name) else list(image.names)

    # ------------------------------------------------------------ clean up

    def leftovers(self) -> list[str]:
        """What killed work left behind: paths of workspaces, digests of blobs and layers."""
        with self.content.lock():
            garbage = self._garbage()
            drafts = self.content.drafts()
        return [*workspace.leftovers(self.root), *drafts, *garbage.blobs, *garbage.layers]

    def remove_leftovers(self) -> list[str]:
        """Remove what :meth:`leftovers` finds; the same list."""
        removed = workspace.remove_leftovers(self.root)
        with workspace.workspace(self.root) as work, self.content.lock():
            drafts = self.content.drafts()
            for path in drafts:
                files.unlink(path, why="its writer was killed while it wrote")
            garbage = self._sweep(work)
        return [*removed, *drafts, *garbage.blobs, *garbage.layers]

    def layer_ids(self) -> set[str]:
        """The ids of the layer directories that belong to images: for ``LayerStore.prune``."""
        return {self.layerdb.cache_id(chain_id) for chain_id in self.layerdb.chain_ids()}

    def _garbage(self) -> "Garbage":
        """What no image needs, upper layers before lower ones."""
        blobs: set[str] = set()
        chains: set[str] = set()
        try:
            for digest in {entry.digest for entry in self.content.index(strict=True)}:
                manifest = self.content.manifest(digest)
                document = self.content.document(manifest.configuration)
                blobs |= {digest, manifest.configuration, *manifest.layers}
                chains |= set(digests.chain_ids(document["rootfs"]["diff_ids"]))
        except Damaged:  # nobody knows what that one needs
            return Garbage([], [])
        idle = [self.layerdb.get(c) for c in self.layerdb.chain_ids() if c not in chains]
        idle = self._not_stood_upon(idle)
        return Garbage(
            [digest for digest in self.content.digests() if digest not in blobs],
            [layer.chain_id for layer in idle],
        )

    def _not_stood_upon(self, idle: list[Registered]) -> list[Registered]:
        """Without the layers on which a container stands whose image was removed by force."""
        if not idle:
            return []
        ours = {layer.cache_id for layer in idle}
        needed = {
            short
            for layer_id in self.layer_store.ids()
            if layer_id not in ours
            for short in self.layer_store.layer(layer_id).lower
        }
        idle = [
            layer
            for layer in idle
            if f"l/{self.layer_store.layer(layer.cache_id).short}" not in needed
        ]
        # The more lie below, the sooner it goes: a kill half-way must not leave one without its
        # parent.
        return sorted(idle, key=lambda layer: -len(self.layer_store.layer(layer.cache_id).lower))

    def _sweep(self, work: str) -> "Garbage":
        """Take away what no image needs. The trees of layers only move into the workspace ``work``
        here, where they are removed when the lock is free for others again."""
        garbage = self._garbage()
        for chain_id in garbage.layers:
            # The registration last: it is what finds the layer again after a kill.
            self.layer_store.retire(self.layerdb.cache_id(chain_id), work)
            self.layerdb.remove(chain_id)
        for digest in garbage.blobs:
            self.content.remove(digest)
        return garbage


@record
class Use:
    """A container, by its id, that was made of an image."""

    container: str
    running: bool = False


@record
class Garbage:
    """Digests of blobs, and ChainIDs of layers, that no image needs."""

    blobs: list[str]
    layers: list[str]


def _without_idle_lines(index: list[Named]) -> list[Named]:
    """A manifest has either its names or one line without a name."""
    named = {entry.digest for entry in index if entry.name}
    lines: dict[tuple[str, str], Any] = {}
    for entry in index:
        if entry.name or entry.digest not in named:
            lines.setdefault((entry.name, entry.digest), entry)
    return list(lines.values())
