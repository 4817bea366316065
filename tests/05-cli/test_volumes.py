"""Volumes: by name and without, from images and other containers; df and prune."""

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from sandbox.archives import Tar
from sandbox.containers import Containers
from sandbox.machine import Sandbox

from mydocker.engine.cleaning import leftovers
from mydocker.engine.cleaning.leftover import Place
from mydocker.engine.life.removal import remove
from mydocker.engine.records.store import Store
from mydocker.engine.volumes.removing import remove as remove_volume
from mydocker.engine.volumes.store import VolumeStore

pytestmark = pytest.mark.root

QUIET = ("--net", "none")


@pytest.fixture(autouse=True)
def clean(docker: Containers) -> None:
    """Each test begins without volumes."""
    docker("volume", "prune", "-af")


def volumes(docker: Containers, *filters: str) -> list[str]:
    words = [word for text in filters for word in ("--filter", text)]
    return docker("volume", "ls", "-q", *words).stdout.split()


def image(docker: Containers, tmp_path: Path, name: str, *changes: str) -> str:
    """An image on busybox's files with a directory that has something in it."""
    docker("create", "--name", "source", "busybox")
    exported = tmp_path / "x.tar"
    docker("export", "-o", str(exported), "source")
    docker("rm", "source")
    extra = Tar().directory("data", uid=7, gid=8, mode=0o750).add("data/x", b"from the image")
    extra.hard_link("data/y", "data/x").symlink("there", "data")
    (tmp_path / "y.tar").write_bytes(extra.bytes())
    subprocess.run(["tar", "-A", "-f", exported, tmp_path / "y.tar"], check=True)
    words = [word for change in changes for word in ("-c", change)]
    docker("import", *words, str(exported), name)
    return name


def test_a_volume_outlives_its_containers(docker: Containers) -> None:
    assert docker("volume", "create", "notes").stdout == "notes\n"
    docker("run", "--rm", *QUIET, "-v", "notes:/n", "busybox", "sh", "-c", "echo kept > /n/f")
    said = docker("run", "--rm", *QUIET, "-v", "notes:/other:ro", "busybox", "cat", "/other/f")
    assert said.stdout == "kept\n"
    done = docker("run", "--rm", *QUIET, "-v", "notes:/n:ro", "busybox", "touch", "/n/x", code=1)
    assert "Read-only" in done.stderr
    assert volumes(docker) == ["notes"]


def test_a_name_makes_the_volume(docker: Containers, sandbox: Sandbox) -> None:
    docker("run", "--rm", *QUIET, "-v", "made:/n", "busybox", "touch", "/n/x")
    told = json.loads(docker("volume", "inspect", "made").stdout)[0]
    assert told["Mountpoint"] == f"{sandbox.root}/volumes/made/_data"
    assert os.listdir(told["Mountpoint"]) == ["x"]
    assert (told["Driver"], told["Scope"], told["Name"]) == ("local", "local", "made")


def test_what_the_image_has_is_copied_into_an_empty_volume(
    docker: Containers, tmp_path: Path, sandbox: Sandbox
) -> None:
    image(docker, tmp_path, "full")
    docker("run", "--rm", *QUIET, "-v", "vol:/there", "full", "true")  # a link, inside the image
    data = sandbox.root / "volumes/vol/_data"
    assert (data / "x").read_text() == "from the image"
    assert (data / "x").samefile(data / "y")
    status = data.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (7, 8, 0o750)
    (data / "x").write_text("mine")
    (data / "y").unlink()
    docker("run", "--rm", *QUIET, "-v", "vol:/data", "full", "true")
    assert os.listdir(data) == ["x"] and (data / "x").read_text() == "mine"
    docker("run", "--rm", *QUIET, "-v", "bare:/data:nocopy", "full", "true")
    docker("run", "--rm", *QUIET, "--mount", "source=too,target=/data,volume-nocopy", "full",
           "true")  # fmt: skip
    for name in ("bare", "too"):
        assert os.listdir(sandbox.root / f"volumes/{name}/_data") == []
    docker("rmi", "full")


def test_anonymous_volumes_go_with_their_container(docker: Containers, tmp_path: Path) -> None:
    image(docker, tmp_path, "full", "VOLUME /data")
    docker("run", "--rm", *QUIET, "full", "cat", "/data/x")
    docker("run", "--rm", *QUIET, "-v", "/more", "busybox", "true")
    assert volumes(docker) == []
    docker("create", "--name", "box", "-v", "/more", "full", "true")
    docker("create", "--name", "own", "-v", "own:/data", "full", "true")
    assert len(volumes(docker)) == 3 and "own" in volumes(docker)
    docker("rm", "own")
    docker("rm", "-v", "box")
    assert volumes(docker) == ["own"]
    docker("create", "--name", "box", "-v", "/more", "busybox")
    docker("rm", "box")
    assert len(volumes(docker, "dangling=true")) == 2
    docker("volume", "prune", "-f")
    assert volumes(docker) == ["own"]
    docker("rmi", "full")


def test_volumes_from(docker: Containers, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    docker("create", "--name", "first", "-v", "aa:/a", "-v", "/b", "-v", f"{tmp_path}/host:/h",
           "busybox")  # fmt: skip
    script = "touch /a/x /b/x /h/x && ls /a /b /h"
    docker("run", "--rm", *QUIET, "--volumes-from", "first", "busybox", "sh", "-c", script)
    assert os.listdir(tmp_path / "host") == ["x"]
    for place in "abh":
        done = docker("run", "--rm", *QUIET, "--volumes-from", "first:ro", "busybox", "rm",
                      f"/{place}/x", code=1)  # fmt: skip
        assert "Read-only" in done.stderr
    assert len(volumes(docker)) == 2  # --rm took away none of another container's
    docker("run", "--rm", *QUIET, "--volumes-from", "first", "-v", "bb:/a", "busybox", "ls", "/a")
    assert docker("run", "--rm", *QUIET, "-v", "bb:/x", "busybox", "ls", "/x").stdout == ""


def test_inspect_tells_the_mounts(docker: Containers) -> None:
    docker("create", "--name", "box", "-v", "data:/d:ro", "--tmpfs", "/t", "busybox")
    mounts = json.loads(docker.get("box", "{{json .Mounts}}"))
    (mine,) = [mount for mount in mounts if mount["Type"] == "volume"]
    assert (mine["Name"], mine["Destination"], mine["RW"]) == ("data", "/d", False)


def test_a_volume_in_use_stays(docker: Containers) -> None:
    identifier = docker("create", "-v", "data:/d", "busybox").stdout.strip()
    done = docker("volume", "rm", "data", code=1)
    assert f"remove data: volume is in use - [{identifier}]" in done.stderr
    docker("volume", "prune", "-af")
    assert volumes(docker) == ["data"]
    docker("rm", identifier)
    assert docker("volume", "rm", "data").stdout == "data\n"
    assert "get data: no such volume" in docker("volume", "rm", "data", code=1).stderr
    docker("volume", "rm", "-f", "data")


def test_filters(docker: Containers) -> None:
    docker("volume", "create", "--label", "a=1", "one")
    docker("volume", "create", "--label", "a=2", "two")
    docker("create", "-v", "one:/x", "busybox")
    assert volumes(docker, "dangling=true") == ["two"]
    assert volumes(docker, "dangling=false") == ["one"]
    assert volumes(docker, "label=a") == ["one", "two"]
    assert volumes(docker, "label=a=2") == volumes(docker, "name=w") == ["two"]
    docker("volume", "ls", "--filter", "dangling=maybe", code=1)
    docker("volume", "prune", "-af", "--filter", "label!=a")
    assert volumes(docker) == ["one", "two"]


BAD = {
    "x:/d": "invalid characters",
    ".bad:/d": "invalid characters",
    "data:rel": "must be absolute",
    "data:/": "destination can't be '/'",
    "data:/d:what": "invalid mode: what",
    "rel/path:/d": "invalid characters",
    "relative": "must be absolute",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_volume(docker: Containers, text: str) -> None:
    done = docker("create", "-v", text, "busybox", code=None)
    assert done.returncode == 125 or done.returncode == 1
    assert BAD[text] in done.stderr and done.stderr.count("\n") == 1
    assert volumes(docker) == [] and docker("ps", "-aq").stdout == ""


def test_a_create_that_fails_leaves_no_anonymous_volume(docker: Containers) -> None:
    docker("create", "--name", "box", "busybox")
    docker("create", "--name", "box", "-v", "/a", "-v", "/b", "busybox", code=None)
    docker("create", "-v", "/a", "-v", "same:/a", "busybox", code=None)
    docker("create", "-v", "/a", "-v", "/x:/y:what", "busybox", code=None)
    assert volumes(docker) == []


def test_many_at_once_make_one_volume(docker: Containers) -> None:
    threads = [
        threading.Thread(
            target=docker, args=("run", "--rm", *QUIET, "-v", "one:/bin", "busybox", "true")
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert volumes(docker) == ["one"]


def test_killed_at_every_request(docker: Containers, sandbox: Sandbox, tmp_path: Path) -> None:
    """A volume is whole, with what the image has there, or not there."""
    image(docker, tmp_path, "full")
    docker("system", "prune", "-f")
    place, store = Place(str(sandbox.root), str(sandbox.run)), VolumeStore(str(sandbox.root))
    containers = Store(place.root, place.run)
    for k in range(1, 60):
        words = ("create", "-v", "vol:/data", "full", "true")
        done = docker(*words, code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
        if store.has("vol"):
            assert sorted(os.listdir(store.data("vol"))) == ["x", "y"]
        leftovers.prune(place)
        for identifier in containers.ids():
            remove(containers, identifier)
        assert os.listdir(sandbox.root / "tmp") == []
        if store.has("vol"):
            remove_volume(containers, "vol")
        assert store.names() == []
        if done.returncode == 0:
            break
    assert 5 < k < 59
    docker("rmi", "full")


# ---------------------------------------------------------------- df, prune


def only_busybox(docker: Containers) -> None:
    """Remove the images that other tests have left: the next one counts them."""
    for line in docker("images", "--format", "{{.ID}} {{.Repository}}").stdout.splitlines():
        identifier, _, repository = line.partition(" ")
        if repository != "busybox":
            docker("rmi", "-f", identifier)


def test_df_counts_each_layer_once(docker: Containers) -> None:
    only_busybox(docker)
    docker("run", "--name", "box", *QUIET, "-v", "vol:/v", "busybox", "sh", "-c",
           "head -c 1000000 /dev/zero > /f; head -c 2000000 /dev/urandom > /v/f")  # fmt: skip
    docker("commit", "box", "bigger")
    rows = [json.loads(line) for line in docker("system", "df", "--format", "json").stdout.split(
        "\n") if line]  # fmt: skip
    images, containers, local, cache = rows
    base = docker("image", "inspect", "-f", "{{.Size}}", "busybox").stdout
    assert images["TotalCount"] == "2" and images["Active"] == "1"
    assert images["Size"] == f"{(int(base) + 1_000_000) / 1e6:.3g}MB"
    assert images["Reclaimable"].startswith("1MB (")
    assert (containers["TotalCount"], containers["Active"], containers["Size"]) == ("1", "0", "1MB")
    assert (local["TotalCount"], local["Active"], local["Reclaimable"]) == ("1", "1", "0B (0%)")
    assert cache["Type"] == "Build Cache"
    told = docker("system", "df", "-v").stdout
    assert "SHARED SIZE" in told and "LINKS" in told
    (line,) = [line for line in told.splitlines() if line.startswith("vol ")]
    assert line.split() == ["vol", "1", "2MB"]
    (line,) = [line for line in told.splitlines() if line.startswith("busybox  ")]
    assert line.split()[-2:] == ["0B", "1"]  # nothing of it is its own: the other stands on it
    docker("rm", "box")
    docker("rmi", "bigger")


def test_prune_asks_says_what_and_touches_nothing_in_use(docker: Containers) -> None:
    only_busybox(docker)
    running = docker.run("-v", "used:/u", "-v", "/anonymous", "busybox", "sleep", "60")
    docker("create", "--name", "gone", "-v", "/anon", "busybox")
    docker("commit", running, "name")
    docker("commit", running, "name")  # the first loses its name
    asked = docker("system", "prune", "--volumes", input="n\n")
    for line in ("all stopped containers (1)", "all dangling images (1)", "volumes not used"):
        assert line in asked.stderr
    asked_for_all = docker("system", "prune", "-a", input="n\n")
    assert "one container associated to them (2)" in asked_for_all.stderr
    assert asked.stdout == "Total reclaimed space: 0B\n" and docker.get("gone", "{{.Name}}")
    done = docker("system", "prune", "--volumes", input="y\n").stdout
    assert "Deleted Containers:" in done and "Deleted Images:\ndeleted: " in done
    assert len(volumes(docker)) == 2
    assert docker.get(running, "{{.State.Running}}") == "true"
    docker("system", "prune", "-af", "--filter", "until=1h")
    assert "name" in docker("images").stdout
    docker("system", "prune", "-af")
    assert docker("images", "--format", "{{.Repository}}").stdout == "busybox\n"


def test_what_prune_takes_by_time_and_label(docker: Containers) -> None:
    only_busybox(docker)
    docker("network", "create", "--label", "keep", "kept")
    docker("network", "create", "idle")
    docker("create", "--name", "marked", "-l", "keep", "busybox")
    docker("create", "--name", "plain", "busybox")
    young = ("--filter", "until=1h")
    unmarked = ("--filter", "label!=keep")
    assert docker("system", "prune", *young, input="n\n").stderr == ""  # nothing to be asked about
    assert docker("network", "prune", "-f", *young).stdout == ""
    asked = docker("system", "prune", *unmarked, input="n\n").stderr
    assert "stopped containers (1)" in asked and "least one container (1)" in asked
    assert "filtered with:\n  - label!=keep" in asked
    done = docker("system", "prune", "-f", *unmarked).stdout
    assert "Deleted Networks:\nidle\n" in done
    assert docker("ps", "-a", "--format", "{{.Names}}").stdout == "marked\n"
    refused = docker("system", "prune", "--volumes", "-f", *young, code=1).stderr
    assert 'The "until" filter is not supported with "--volumes"' in refused
    assert "invalid" in docker("network", "prune", "-f", "--filter", "until=x", code=1).stderr
    asked = docker("network", "prune", input="n\n").stderr
    assert "all custom networks not used" in asked
    assert docker("network", "prune", input="y\n").stdout == "Deleted Networks:\nkept\n\n"


def test_rmi_refuses_what_containers_use(docker: Containers) -> None:
    docker("commit", docker("create", "busybox").stdout.strip(), "name")
    stopped = docker("create", "name").stdout.strip()
    done = docker("rmi", "name", code=1)
    assert f"(must force) - container {stopped[:12]} is using its referenced image" in done.stderr
    assert docker("images", "-q", "name").stdout
    running = docker.run("name", "sleep", "60")
    image_id = docker("images", "-q", "name").stdout.strip()
    done = docker("rmi", "-f", image_id, code=1)
    assert f"cannot be forced) - image is being used by running container {running[:12]}" in (
        done.stderr
    )
    docker("rm", "-f", running)
    docker("rmi", "-f", "name")
    docker("start", stopped)  # its layers are still there
    docker("rm", "-f", stopped)
    docker("system", "prune", "-f")


def test_a_container_that_cannot_be_read_keeps_the_volumes_of_all(
    docker: Containers, sandbox: Sandbox
) -> None:
    """It may use any of them. What can be read is removed as before."""
    words = ("-v", "/anonymous", "-v", "notes:/n", "busybox", "sleep", "1000")
    identifier = docker.run("--name", "one", *words)
    docker("exec", "one", "sh", "-c", "echo kept | tee /n/f /anonymous/f")
    here = volumes(docker)
    docker("create", "--name", "two", *QUIET, "-v", "/mine", "busybox")
    docker.run("--name", "three", "--volumes-from", "one", "-v", "/own", "busybox", "true")
    docker("wait", "three")
    config = sandbox.root / "containers" / identifier / "config.json"
    sound = config.read_bytes()
    config.write_bytes(b'{"half":')
    for command in (("volume", "prune", "-f"), ("volume", "prune", "-af"),
                  ("system", "prune", "-f", "--volumes"), ("volume", "rm", "notes"),
                  ("volume", "rm", "-f", "notes")):  # fmt: skip
        done = docker(*command, code=None)
        assert done.returncode in (1, 125) and done.stderr.count("\n") == 1, (command, done)
        assert "config.json" in done.stderr and f"rm -f {identifier[:12]}" in done.stderr
        assert set(here) <= set(volumes(docker)), command
    assert docker("ps", "-aq", "--no-trunc").stdout.split() == [identifier]  # the rest went
    docker("create", "--name", "four", *QUIET, "-v", "/mine", "busybox")
    docker("rm", "-v", "four")
    assert set(here) <= set(volumes(docker))
    config.write_bytes(sound)
    assert docker("exec", "one", "cat", "/n/f", "/anonymous/f").stdout == "kept\nkept\n"
    docker("volume", "prune", "-af")
    assert volumes(docker) == here
    config.write_bytes(b"")
    docker("rm", "-f", "one")
    docker("system", "prune", "-f", "--volumes")
    assert volumes(docker) == ["notes"]


def test_what_cannot_be_read_passes_no_filter(docker: Containers, sandbox: Sandbox) -> None:
    """Else ``label!=keep`` would take what says to keep it."""
    docker("volume", "create", "--label", "keep", "notes")
    docker("network", "create", "--label", "keep", "kept")
    docker("create", "--name", "one", "--label", "keep", *QUIET, "busybox")
    files = [*sandbox.root.glob("volumes/notes/volume.json"),
             *sandbox.root.glob("network/*/network.json"),
             *sandbox.root.glob("containers/*/config.json")]  # fmt: skip
    for file in files:
        file.write_bytes(b"")
    for chosen in ("label!=keep", "label!=other", "until=1ns"):
        docker("container", "prune", "-f", "--filter", chosen)
        docker("network", "prune", "-f", "--filter", chosen)
        docker("system", "prune", "-f", "--filter", chosen)
    docker("rm", "one")
    docker("volume", "prune", "-af", "--filter", "label!=keep")
    assert volumes(docker) == ["notes"]
    assert "kept" in docker("network", "ls").stdout
    docker("network", "rm", "kept")


def test_an_image_stays_under_a_container_that_cannot_be_read(
    docker: Containers, sandbox: Sandbox
) -> None:
    docker("run", "--name", "source", *QUIET, "busybox", "touch", "/more")
    for name in ("under", "idle"):
        docker("commit", "source", name)
        docker("exec" if name == "idle" else "start", "source", code=None)
    docker("rm", "source")
    docker("run", "--name", "other", *QUIET, "busybox", "touch", "/other")
    docker("commit", "other", "idle")
    docker("rm", "other")
    identifier = docker.run("--name", "one", "under", "sleep", "1000")
    config = sandbox.root / "containers" / identifier / "config.json"
    config.write_bytes(b"{}")
    docker("image", "prune", "-af")
    names = docker("images", "--format", "{{.Repository}}").stdout.split()
    assert "under" in names and "idle" not in names
    done = docker("rmi", "under", code=None)
    assert done.returncode != 0 and identifier[:12] in done.stderr
    docker("rm", "-f", "one")
    docker("rmi", "under")
