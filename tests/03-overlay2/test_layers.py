"""Layers on disk, and their mounting."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

from mydocker.kernel.errors import Failure, KernelError
from mydocker.overlay2.layer import Layer
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.mounting import PAGE, OverlayMount, filesystem_of, mount_overlay
from mydocker.overlay2.part import LayersPart, unmount


@pytest.fixture
def place(sandbox: Sandbox, tmp_path: Path) -> Iterator[str]:
    """A root directory of the test's own, on the disk: some machines have /tmp in memory."""
    path = sandbox.directory / tmp_path.name
    path.mkdir(parents=True)
    yield str(path)
    subprocess.run(["rm", "-rf", str(path)], check=True)


def pile(store: LayerStore, count: int) -> list[Layer]:
    """``count`` layers on each other, each with a file of its own and one that all have."""
    layers: list[Layer] = []
    for number in range(count):
        layer = store.create([one.id for one in layers])
        Path(layer.diff, f"own{number}").write_text(str(number))
        Path(layer.diff, "common").write_text(str(number))
        layers.append(layer)
    return layers


def test_the_layout_is_dockers(place: str) -> None:
    store = LayerStore(place)
    lowest, middle, top = pile(store, 3)
    for layer in (lowest, middle, top):
        short = Path(layer.path, "link").read_text()
        assert re.fullmatch("[A-Z0-9]{26}", short)
        assert os.readlink(f"{place}/overlay2/l/{short}") == f"../{layer.id}/diff"
        assert re.fullmatch("[0-9a-f]{64}", layer.id)
        assert layer.path == f"{place}/overlay2/{layer.id}"
    assert not os.path.exists(f"{lowest.path}/lower")
    assert not os.path.exists(f"{lowest.path}/work")
    lower = Path(top.path, "lower").read_text()
    assert lower == f"l/{middle.short}:l/{lowest.short}"
    assert os.path.isdir(f"{top.path}/work")
    assert store.stack(top.id) == [top, middle, lowest]


def test_modes_do_not_depend_on_the_umask(place: str) -> None:
    umask = os.umask(0o077)
    try:
        layer = LayerStore(place).create([])
    finally:
        os.umask(umask)
    assert oct(os.stat(layer.diff).st_mode & 0o777) == "0o755"


def test_a_missing_parent(place: str) -> None:
    store = LayerStore(place)
    with pytest.raises(Failure, match="feed: no such layer"):
        store.create(["feed"])
    assert store.ids() == []


@pytest.mark.parametrize("missing", ["link", "lower", "diff", "l", "all but link"])
def test_remove_what_a_kill_left(place: str, missing: str) -> None:
    store = LayerStore(place)
    below, layer = pile(store, 2)
    if missing == "l":
        os.unlink(f"{store.path}/l/{layer.short}")
    elif missing == "all but link":
        subprocess.run(["rm", "-r", layer.diff, layer.work, f"{layer.path}/lower"], check=True)
    elif missing == "diff":
        subprocess.run(["rm", "-r", layer.diff], check=True)
    else:
        os.unlink(f"{layer.path}/{missing}")
    store.remove(layer.id)
    store.remove(layer.id)
    assert store.ids() == [below.id]
    links = os.listdir(f"{store.path}/l")
    assert links == [below.short] or missing == "link"
    store.prune([below.id])
    assert os.listdir(f"{store.path}/l") == [below.short]


def test_removal_does_not_follow_links_and_bears_any_depth(place: str) -> None:
    store = LayerStore(place)
    layer = store.create([])
    outside = Path(place, "outside")
    outside.mkdir()
    (outside / "kept").touch()
    os.symlink(outside, f"{layer.diff}/link")
    here = os.getcwd()
    os.chdir(layer.diff)
    for _ in range(2500):  # a path of 5000 bytes: more than a system call takes
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    store.remove(layer.id)
    assert store.ids() == [] and (outside / "kept").exists()


@pytest.mark.root
def test_removal_stops_at_a_mount(place: str) -> None:
    store = LayerStore(place)
    layer = store.create([])
    os.mkdir(f"{layer.diff}/mounted")
    subprocess.run(["mount", "-t", "tmpfs", "none", f"{layer.diff}/mounted"], check=True)
    try:
        Path(layer.diff, "mounted/precious").touch()
        with pytest.raises(KernelError) as error:
            store.remove(layer.id)
        assert error.value.errno == 16
        assert os.path.exists(f"{layer.diff}/mounted/precious")
    finally:
        subprocess.run(["umount", f"{layer.diff}/mounted"], check=True)
    store.remove(layer.id)


# ---------------------------------------------------------------- mounting


def plan(lower: int, volatile: bool = False) -> OverlayMount:
    names = tuple(f"l/{number:026}" for number in range(lower))
    return OverlayMount("/store", names, "id/diff", "id/work", "id/merged", volatile)


def test_the_options_as_docker_writes_them() -> None:
    """In whatever order: the kernel takes any."""
    found = OverlayMount("/s", ("l/A", "l/B"), "i/diff", "i/work", "i/merged").options
    expected = {"lowerdir=l/A:l/B", "upperdir=i/diff", "workdir=i/work"}
    assert set(found.split(",")) == expected, found
    assert "volatile" in plan(1, volatile=True).options.split(",")
    only_read = OverlayMount("/s", ("l/A", "l/B"), "", "", "i/merged").options
    assert only_read == "lowerdir=l/A:l/B"


def test_a_page_of_options() -> None:
    most = max(number for number in range(1, 200) if plan(number).fits)
    assert len(plan(most).options) < PAGE <= len(plan(most + 1).options)
    assert most >= 128  # Docker's limit


@pytest.mark.root
@pytest.mark.parametrize(("length", "fits"), [(PAGE - 1, True), (PAGE, False), (PAGE + 1, False)])
def test_the_last_byte_of_the_page(place: str, length: int, fits: bool) -> None:
    """mount(2) wants a zero byte at the end: with 4096 bytes of options the last would be lost, and
    another layer mounted than was meant."""
    for name in ("base", "upper", "work", "merged"):
        os.mkdir(f"{place}/{name}")
    fixed = len(OverlayMount(place, ("",), "upper", "work", "merged").options)
    lower: list[str] = []
    rest = length - fixed
    while rest > 102:  # so many layers of 100 letters, and one for the rest of the page
        lower.append(f"{len(lower):0100}")
        rest -= 101
    lower.append("x" * rest)
    for name in lower:
        os.mkdir(f"{place}/{name}")
    Path(place, lower[-1], "there").touch()
    overlay = OverlayMount(place, tuple(lower), "upper", "work", "merged")
    assert len(overlay.options) == length
    assert overlay.fits == fits
    mount_overlay(overlay)  # the longer ones are told layer by layer
    try:
        assert os.listdir(f"{place}/merged") == ["there"]
    finally:
        subprocess.run(["umount", f"{place}/merged"], check=True)


@pytest.mark.root
def test_a_mount_behind_a_link_stays(place: str) -> None:
    """What is unmounted is what lies there, and not what a link leads to."""
    os.mkdir(f"{place}/other")
    os.symlink("other", f"{place}/merged")
    subprocess.run(["mount", "-t", "tmpfs", "none", f"{place}/other"], check=True)
    try:
        unmount(f"{place}/merged")
        assert os.path.ismount(f"{place}/other")
    finally:
        subprocess.run(["umount", f"{place}/other"], check=True)


def kernel() -> tuple[int, ...]:
    """The first two numbers of the running kernel's version."""
    return tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])


@pytest.mark.root
@pytest.mark.parametrize("count", [1, 2, 120, 200])
def test_all_layers_are_in_it(place: str, count: int) -> None:
    store = LayerStore(place)
    layers = pile(store, count)
    part = LayersPart(place, "c" * 64, [layer.id for layer in layers])
    here = os.getcwd()
    if count > 130 and kernel() < (6, 5):
        with pytest.raises(Failure, match=r"this kernel, older than Linux 6\.5"):
            part.prepare()
        part.release()
        return
    part.prepare()
    assert os.getcwd() == here
    try:
        merged = Path(store.layer(part.id).merged)
        names = {f"own{number}" for number in range(count)} | {"common"}
        assert set(os.listdir(merged)) == names
        assert (merged / "common").read_text() == str(count - 1), "the topmost decides"
        (merged / "written").write_text("x")
        assert Path(store.layer(part.id).diff, "written").exists()
    finally:
        part.release()
    assert part.id not in store.ids()
    part.release()


@pytest.mark.root
def test_what_shall_stay_stays(place: str) -> None:
    store = LayerStore(place)
    (base,) = pile(store, 1)
    part = LayersPart(place, "c" * 64, [base.id], keep=True)
    for text in ("first", "second"):
        part.prepare()
        merged = Path(store.layer(part.id).merged)
        if text == "second":
            assert (merged / "written").read_text() == "first"
        (merged / "written").write_text(text)
        part.release()
        assert os.listdir(merged) == []
    assert part.id in store.ids()


@pytest.mark.root
def test_released_while_somebody_stands_in_it(place: str) -> None:
    store = LayerStore(place)
    (base,) = pile(store, 1)
    part = LayersPart(place, "c" * 64, [base.id])
    part.prepare()
    standing = subprocess.Popen(["sleep", "60"], cwd=store.layer(part.id).merged)
    try:
        part.release()
        assert filesystem_of(place) == filesystem_of(store.path)
        assert store.ids() == [base.id]
    finally:
        standing.kill()
        standing.wait()


@pytest.mark.root
def test_release_after_any_half_of_prepare(place: str) -> None:
    from mydocker.kernel import trace

    store = LayerStore(place)
    (base,) = pile(store, 1)
    part = LayersPart(place, "c" * 64, [base.id])
    start = trace.count()
    part.prepare()
    last = trace.count() - start
    part.release()
    assert last >= 8
    try:
        for number in range(1, last + 1):
            trace.arm(f"fail:{trace.count() + number}")
            with pytest.raises(KernelError, match="fault"):
                part.prepare()
            part.release()
            assert store.ids() == [base.id]
            assert os.listdir(f"{store.path}/l") == [base.short]
            assert filesystem_of(store.layer(part.id).path)[0] == "unknown"
    finally:
        trace.arm(f"fail:{1 << 40}")


def test_more_layers_than_overlayfs_stacks() -> None:
    with pytest.raises(Failure, match="501 layers: overlayfs stacks at most 500"):
        mount_overlay(plan(501))


@pytest.mark.root
def test_an_overlay_on_an_overlay_is_explained(place: str) -> None:
    store = LayerStore(place)
    (base,) = pile(store, 1)
    part = LayersPart(place, "c" * 64, [base.id])
    part.prepare()
    try:
        inner = f"{store.layer(part.id).merged}/inner"
        (nested,) = pile(LayerStore(inner), 1)
        second = LayersPart(inner, "d" * 64, [nested.id])
        with pytest.raises(KernelError) as error:
            second.prepare()
        second.release()
        assert "overlay2 lies on overlay (an overlay itself" in error.value.hint
        assert "--root" in error.value.hint
        assert "\n" not in str(error.value)
    finally:
        part.release()


@pytest.mark.root
def test_a_layer_that_is_gone_is_explained(place: str) -> None:
    store = LayerStore(place)
    lowest, upper = pile(store, 2)
    part = LayersPart(place, "c" * 64, [lowest.id, upper.id])
    store.create(part.parents, part.id)
    store.remove(lowest.id)
    with pytest.raises(KernelError, match="import it again"):
        part.prepare()
    part.release()


@pytest.mark.root
def test_a_run_leaves_no_layer(mydocker: Launcher, sandbox: Sandbox) -> None:
    mydocker(3, "run", "busybox", "true")
    before = sorted(os.listdir(sandbox.root / "overlay2"))
    mydocker(3, "run", "busybox", "sh", "-c", "echo x >/x; mkdir /y; rm -r /etc")
    mydocker(3, "run", "busybox", "no-such-command", code=127)
    mydocker(3, "run", "-v", "/:/etc/passwd", "busybox", "true", code=125)
    assert sorted(os.listdir(sandbox.root / "overlay2")) == before
