"""The same words given to us and to a real docker: the same exit codes, and the same answers.

But for ids, times and names that are made up. ``session.txt`` is what is said.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from beside.dockerd import Dockerd, missing
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(missing()), reason=f"docker.io is not installed: no {missing()}"),
]
SESSION = Path(__file__).with_name("session.txt").read_text().splitlines()
LINES = [line for line in SESSION if line and not line.startswith("#")]


@pytest.fixture
def dockerd(sandbox: Sandbox) -> Iterator[Dockerd]:
    daemon = Dockerd(sandbox)
    yield daemon
    daemon.stop()


def answer(done: subprocess.CompletedProcess[str], known: bool) -> dict[str, object]:
    """What is compared: of a line that is known to differ in its text, the exit code."""
    if known:
        return {"code": done.returncode}
    return {"code": done.returncode, "out": plain(done.stdout), "err": plain(done.stderr)}


def same(ours: dict[str, object], theirs: dict[str, object]) -> bool:
    """A complaint of ours may go on with a hint, after Docker's words."""
    err = str(theirs.get("err", ""))
    return ours == theirs or (
        bool(err) and ours | {"err": err} == theirs and str(ours["err"]).startswith(f"{err}. ")
    )


def plain(text: str) -> str:
    text = re.sub(r'^time=".*\n?', "", text, flags=re.M)  # the client's own log
    text = re.sub(r"\b([0-9a-f]{64}|[0-9a-f]{12})\b", "ID", text)
    text = re.sub(r"^(docker|mydocker): (Error response from daemon: )?", "", text, flags=re.M)
    text = re.sub(r"\n*(Run|See) 'docker \w+ --help'( for more information)?\.?", "", text)
    text = re.sub(r"^(Error response from daemon|Error): ", "", text, flags=re.M)
    text = re.sub(r"See '(docker|mydocker) ", "See 'TOOL ", text).rstrip(".\n")
    # What changed comes in whichever order docker's own map of files has it.
    return "\n".join(sorted(text.splitlines())) if re.match("[ACD] /", text) else text


def test_a_session(mydocker: Launcher, dockerd: Dockerd, sandbox: Sandbox) -> None:
    archive = sandbox.directory / "busybox.tar"
    mydocker(5, "create", "--name", "model", "busybox")
    mydocker(5, "export", "-o", str(archive), "model")
    mydocker(5, "rm", "model")
    dockerd.make_image(archive)
    mydocker(5, "volume", "prune", "--all", "--force")  # what other tests left
    different = []
    for line in LINES:
        known = line.startswith(("~", "!"))
        words = shlex.split(line.lstrip("~!"))
        theirs = answer(dockerd(*words, stdin=subprocess.DEVNULL), known)
        ours = answer(mydocker(5, *words, code=None), known)
        if not same(ours, theirs) and not line.startswith("!"):
            different.append(f"{line}\n  docker:   {theirs}\n  mydocker: {ours}")
    assert not different, f"{len(different)} of {len(LINES)}:\n" + "\n".join(different)
