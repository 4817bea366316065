"""What a container, an image or its author calls things does not move the reader's cursor.

A terminal obeys what is written to it: ESC and BEL, C1 controls, marks that turn the direction of
writing. So lists, panels, events and errors show such characters as Python writes them.
"""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sandbox.archives import Tar
from sandbox.containers import Containers
from sandbox.launcher import eventually

from mydocker.kernel.errors import one_line

pytestmark = pytest.mark.root

BAD = "a\x1b]0;mine\x07\x1b[2J\x9b2J\x7f\u202egpj\u2066z"
TURNING = "\u200e\u200f\u202a\u202e\u2066\u2069\u061c\u2028\udcff\ufeff"
SHOWN = one_line(BAD)
# As Go quotes a text (strconv.Quote): so Docker shows commands.
QUOTED = r"a\x1b]0;mine\a\x1b[2J\u009b2J\x7f\u202egpj\u2066z"


@pytest.mark.parametrize("character", [chr(n) for n in (*range(32), *range(127, 160))])
def test_no_control_character_is_printable(character: str) -> None:
    assert one_line(character).isprintable()


@pytest.mark.parametrize(
    "character", "\u200e\u200f\u202a\u202e\u2066\u2069\u061c\u2028\udcff\ufeff"
)
def test_nothing_that_turns_or_hides_text_is(character: str) -> None:
    assert one_line(character).isprintable() and one_line(character).isascii()


@pytest.mark.parametrize("text", ["", "plain", "größer → 容器 ✓", "a b"])
def test_what_is_printable_stays(text: str) -> None:
    assert one_line(text) == text


def bad(text: str) -> list[str]:
    """The characters in it that a terminal would obey."""
    return sorted({c for c in text if not c.isprintable() and c not in "\n\t"})


@pytest.fixture
def planted(docker: Containers, tmp_path: Path) -> Iterator[str]:
    """A container and an image that say it wherever they can; the container's id."""
    tar = (
        Tar().directory("bin").directory("proc").directory("dev").directory("sys").directory("etc")
    )
    tar.add("bin/sh", Path("/bin/busybox").read_bytes(), mode=0o755).add(f"etc/{BAD}", b"x")
    source = str(tar.write(tmp_path / f"{BAD[:2]}.tar"))
    changes = ["-c", f'LABEL key="{BAD}"', "-c", f'ENV VARIABLE="{BAD}"']
    docker("import", *changes, "-m", BAD, source, "planted")
    docker("network", "create", "--label", f"key={BAD}", "planted")
    docker("volume", "create", "--label", f"key={BAD}", "planted")
    script = 'echo x >"/etc/$1"; (exec -a "$1" sleep 1000) & exec sleep 1000'
    options = ["--label", f"key={BAD}", "-e", f"V={BAD}", "-v", "planted:/v", "--tmpfs", f"/{BAD}"]
    made = docker.run("--name", "planted", *options, "--net", "planted", "planted",
                      "/bin/sh", "-c", script, BAD, BAD, net=True)  # fmt: skip
    eventually(lambda: docker("diff", "planted").stdout)
    yield made
    docker("rm", "-f", "planted")
    docker("network", "rm", "planted")
    docker("volume", "rm", "planted")
    docker("rmi", "planted")


COMMANDS = [
    ["ps", "-a", "--no-trunc"],
    ["ps", "--format", "table {{.Command}}\t{{.Labels}}\t{{.Mounts}}"],
    ["ps", "--format", "json"],
    ["inspect", "planted"],
    ["diff", "planted"],
    ["xray", "planted"],
    ["xray", "--json", "planted"],
    ["top", "planted"],
    ["stats", "--no-stream"],
    ["images", "--no-trunc"],
    ["image", "inspect", "planted"],
    ["history", "--no-trunc", "planted"],
    ["layers", "planted"],
    ["trace-file", "planted", f"/etc/{BAD}"],
    ["volume", "ls", "--format", "table {{.Name}}\t{{.Labels}}"],
    ["volume", "inspect", "planted"],
    ["network", "ls"],
    ["network", "inspect", "planted"],
    ["network", "graph"],
    ["namespace", "list"],
    ["cgroup", "tree"],
    ["events", "--since", "1h", "--until", "0s"],
    ["events", "--since", "1h", "--until", "0s", "--format", "json"],
    ["system", "df", "-v"],
    ["port", "planted"],
    ["start", BAD],
    ["rm", BAD],
    ["run", "--net", BAD, "busybox", "true"],
    ["run", "-v", BAD, "busybox", "true"],
    ["run", "--name", BAD, "busybox", "true"],
    ["run", BAD],
    ["run", "--rm", "--net", "none", "busybox", BAD],
    ["run", f"--{BAD}"],
    ["cp", "planted:/x", BAD],
    ["cp", f"planted:/{BAD}/x", "/tmp"],
    ["exec", "planted", BAD],
    [BAD],
    ["inspect", BAD],
    ["inspect", "-f", f"{{{{{BAD}}}}}", "planted"],
    ["import", f"/{BAD}"],
    ["network", "rm", BAD],
    ["volume", "rm", BAD],
    ["rmi", BAD],
    ["wait", BAD],
]


def on_a_terminal(docker: Containers, *command: str) -> str:
    """What the command writes to standard output, which is a terminal, and to standard error."""
    master, slave = pty.openpty()
    plain = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "400"}
    started = docker.start(
        *command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=plain
    )
    os.close(slave)
    said = b""
    with suppress(OSError):  # EIO: nobody has it open any more
        while block := os.read(master, 65536):
            said += block
    os.close(master)
    started.wait(20)
    return said.decode().replace("\r\n", "\n")


def test_nothing_of_it_reaches_the_terminal(docker: Containers, planted: str) -> None:
    found = {}
    for command in COMMANDS:
        if said := bad(on_a_terminal(docker, *command)):
            found[" ".join(command[:3])[:40]] = said
    assert found == {}


def test_it_is_seen_where_it_is(docker: Containers, planted: str) -> None:
    assert QUOTED in docker("ps", "--no-trunc").stdout
    assert f"C /etc/{SHOWN}" in on_a_terminal(docker, "diff", "planted").splitlines()
    assert SHOWN in on_a_terminal(docker, "events", "--since", "1h", "--until", "0s")


def test_what_a_program_reads_is_whole(docker: Containers, planted: str) -> None:
    """JSON says the same, and a template in a pipe gives the value itself."""
    for command in (["inspect", "planted"], ["image", "inspect", "planted"]):
        assert json.loads(docker(*command).stdout)[0]["Config"]["Labels"]["key"] == BAD
    assert docker.get("planted", '{{index .Config.Labels "key"}}') == BAD
    assert f"C /etc/{BAD}\n" in docker("diff", "planted").stdout
    assert docker("ps", "--format", '{{.Label "key"}}').stdout == f"{BAD}\n"
