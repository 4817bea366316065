"""Whatever is in the files that we keep: each command says one line, or does its work.

In one process, so that many rounds fit into a second: the commands that look, and for each file
that is damaged the one that removes what it is of.
"""

import io
import os
import random
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest
from sandbox.containers import Containers
from sandbox.fuzzing import fuzz, mutated

from mydocker.container import commandline
from mydocker.kernel.errors import Failure

pytestmark = pytest.mark.root

WORDS = [
    b"", b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"0", b"-1", b"1e999", b"{}",
    b"[]", b'""', b"\0", b"\xff", b"\\ud800", b"\\u0000", b"[" * 3000, b'{"a":' * 3000, b"9" * 5000,
    b'"../../../etc"', b'"/"', b'"x"', b"\n", b" ",
]  # fmt: skip


@pytest.fixture
def docker(mydocker: object) -> Iterator[Containers]:
    containers = Containers(mydocker)  # type: ignore[arg-type]
    containers.need_image()
    yield containers
    containers.clear()
    containers("network", "prune", "-f")
    containers("volume", "prune", "-af")


LOOKS = [
    "ps -a", "ps -aq --no-trunc --size", "inspect one", "inspect two", "logs one", "diff one",
    "port one", "container ls -a --filter status=exited --filter network=blue", "images -a",
    "image inspect busybox", "history busybox", "network ls", "network inspect blue", "volume ls",
    "volume inspect some", "system df -v", "info", "stats --no-stream -a", "top one", "xray one",
    "events --since 1h --until 0s", "layers one",
]  # fmt: skip
# What is damaged, and what removes it
FILES = {
    "root containers/{one}/config.json": "rm -f one",
    "root containers/{one}/state.json": "rm -f one",
    "root network/{blue}/network.json": "network rm blue",
    "root image/index.json": "rmi -f again",
    "root volumes/some/volume.json": "volume rm some",
    "root events.json": "",
    "root containers/{one}/{one}-json.log": "rm -f one",
}


def call(words: list[str]) -> str:
    """Run a command here; what it said of an error. Any but ours goes through."""
    from mydocker.cli.main import group

    out, said = (io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape") for _ in range(2))
    try:
        with redirect_stdout(out), redirect_stderr(said):
            group.main(words, prog_name="mydocker", standalone_mode=False)
    except Failure as failure:
        return str(failure)
    except click.ClickException as error:
        return error.format_message()
    except SystemExit:
        said.flush()
        return said.buffer.getvalue().decode(errors="replace")
    except OSError as error:
        if error.errno in commandline._OF_THE_MACHINE and error.filename:
            return str(error)
        raise
    return ""


@pytest.mark.parametrize("file", FILES)
def test_damaged(docker: Containers, file: str) -> None:
    docker("network", "create", "blue")
    docker("volume", "create", "some")
    one = docker(
        "create", "--name", "one", "--net", "blue", "busybox", "echo", "hello"
    ).stdout.strip()
    docker("create", "--name", "two", "--net", "none", "-v", "some:/x", "busybox", "true")
    docker("start", "-a", "one")
    docker("tag", "busybox", "again")
    blue = docker("network", "inspect", "-f", "{{.Id}}", "blue").stdout.strip()
    kind, _, name = file.partition(" ")
    path = Path(os.environ[f"MYDOCKER_{kind.upper()}"]) / name.format(one=one, blue=blue)
    good = path.read_bytes()

    def attempt(chance: random.Random) -> None:
        bad = mutated(chance, [good, good, b"{}", b"[]", b"null", b'{"a": 1}'], WORDS)
        path.write_bytes(bad)
        for words in chance.sample(LOOKS, 6):
            try:
                said = call(words.split())
            except Exception as error:
                error.add_note(f"mydocker {words}, with {bad!r:.2000} in {path.name}")
                raise
            assert "\n" not in said.strip() or not said.startswith("mydocker:"), said
            assert "internal error" not in said, f"{words}: {said}, with {bad!r:.2000}"

    try:
        fuzz(attempt)
    finally:
        path.write_bytes(good)
