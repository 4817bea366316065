"""``lab check --vm`` and ``lab grade --vm``: what goes into the machine, and what if there is none.

Nothing here boots a machine: vm/run of a made repository writes down what it is asked.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VM = """
import json, pathlib, sys
place = pathlib.Path(__file__).parent
(place / "asked.json").write_text(json.dumps(sys.argv[1:]))
(place / "sent.tar").write_bytes(sys.stdin.buffer.read())
sys.exit(7)
"""


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """A copy with what a hostile student may have put there beside."""
    place = tmp_path / "ada's {0}"
    (place / "steps/02-cgroups").mkdir(parents=True)
    (place / "steps/layers.py").write_text("layers")
    (place / "steps/02-cgroups/a.py").write_text("a")
    (place / "steps/02-cgroups/link.py").symlink_to("/etc/passwd")
    (place / "steps/outside").symlink_to("/etc")
    (place / "core").write_bytes(bytes(1000))
    (place / "tests").symlink_to("/etc")
    record = {"step": 2, "repository": "/home/ada", "exercises": {}}
    (place / "lab.json").write_text(json.dumps(record))
    return place


def asked(tmp_path: Path, directories: list[Path], words: list[str | int]) -> tuple[Any, Any]:
    """What vm/run was asked, and the files that were sent."""
    from mydocker.labs import elsewhere

    vm = tmp_path / "repository/vm"
    vm.mkdir(parents=True)
    (vm / "run").write_text(VM)
    assert elsewhere.run(str(vm.parent), list(map(str, directories)), words) == 7
    files = {}
    with tarfile.open(fileobj=io.BytesIO((vm / "sent.tar").read_bytes())) as archive:
        for member in archive:
            assert member.isreg() or member.isdir()
            file = archive.extractfile(member)
            files[member.name] = file.read().decode() if file else None
    return json.loads((vm / "asked.json").read_text()), files


def test_what_counts_is_sent_and_links_are_not(tmp_path: Path, submission: Path) -> None:
    _, files = asked(tmp_path, [submission], ["check", 0])
    top = f"0/{submission.name}"
    record = json.loads(files.pop(f"{top}/lab.json"))
    assert record == {"step": 2, "repository": "/root/mydocker", "exercises": {}}
    assert files == {
        top: None, f"{top}/steps/layers.py": "layers", f"{top}/steps/02-cgroups/a.py": "a",
    }  # fmt: skip


def test_the_command_in_there(tmp_path: Path, submission: Path) -> None:
    """Words of the user's are words; names of folders stay, for they are the students'."""
    words: list[str | int] = ["grade", "--seed", "a b; {1}", 1, 0]
    told, _ = asked(tmp_path, [submission, submission], words)
    assert told[:4] == ["--no-build", "--", "sh", "-c"]
    script = told[4].partition("exec ")[2]
    shown = subprocess.run(
        ["sh", "-c", script.replace("./mydocker", "printf '%s\\n'")], capture_output=True, text=True
    )
    place = "/root/submissions/{}/" + submission.name.replace("{", "{{").replace("}", "}}")
    assert shown.stdout.splitlines() == [
        "lab", "grade", "--seed", "a b; {1}", place.format(1), place.format(0),
    ]  # fmt: skip


def test_a_submission_in_a_folder_of_its_own(tmp_path: Path, submission: Path) -> None:
    """As archives are unpacked."""
    outer = tmp_path / "upload"
    outer.mkdir()
    submission.rename(outer / "inner")
    _, files = asked(tmp_path, [outer], ["grade", 0])
    assert {"0/upload", "0/upload/inner/steps/layers.py"} <= files.keys()


@pytest.mark.parametrize("command", ["check", "grade"])
def test_without_qemu_it_is_one_line(command: str, tmp_path: Path) -> None:
    """And nothing is installed, nor made."""
    lab = [sys.executable, "-ESs", str(ROOT / "steps/05-cli/main.py"), "lab"]
    subprocess.run([*lab, "start", "02"], cwd=tmp_path, check=True, capture_output=True)
    words = ["check", "--vm"] if command == "check" else ["grade", "--vm", "lab-02"]
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [*lab, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 125, done.stderr
    assert "is not installed" in done.stderr and "sudo ./mydocker vm --build" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_an_image_it_is_one_line(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / f"qemu-system-{os.uname().machine}").symlink_to("/bin/true")
    done = subprocess.run(
        [sys.executable, ROOT / "vm/run", "--no-build", "--cache", tmp_path / "cache", "true"],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (125, "")
    assert f"there is no image in {tmp_path / 'cache'}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "cache").exists()


def test_not_while_watching(tmp_path: Path) -> None:
    lab = [sys.executable, "-ESs", str(ROOT / "steps/05-cli/main.py"), "lab"]
    subprocess.run([*lab, "start", "02"], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        [*lab, "check", "--vm", "--watch"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 125 and "--watch and --vm" in done.stderr
