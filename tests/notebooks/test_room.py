"""What a notebook makes goes when its kernel ends, however it ends; and `mydocker notebook`."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandbox.launcher import eventually

ROOT = Path(__file__).parents[2]
NOTEBOOK = [sys.executable, "-ESs", str(ROOT / "steps/05-cli/main.py"), "notebook"]
DRIVER = Path(__file__).with_name("driver.py")

# Everything that could stay: a container with its monitor, a group with a process that has left its
# session, its parent and its terminal, a function apart, an open listening bridge, many files.
MAKE = """
import json, os, subprocess
from workbench import apart, room, sampling, shell, start
subprocess.run(["mydocker", "run", "-d", "--name", "box", "busybox", "sleep", "1234"], check=True,
               capture_output=True)
start("busybox sleep 1234")
sampling.group("other").attach(start("busybox sleep 1234").pid)
subprocess.run("setsid sh -c 'sleep 1234 & exit' >/dev/null 2>&1", shell=True, check=True)
if os.fork() == 0:
    os.setsid()
    os.execvp("sleep", ["sleep", "1234"])
told = {"kernel": os.getpid(), "directory": room.directory, "group": room.parent,
        "namespaces": [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "net", "uts")],
        "links": os.listdir("/proc/sys/net/ipv4/conf"), "files": os.listdir(room.directory)}
print(json.dumps(told))
"""


COLOURS = """
import io
from PIL import Image
from workbench import pictures
drawn = (pictures.LIGHT, pictures.GREY, *pictures.CYCLE)
figure, axes = pictures.canvas(2)
for place, colour in enumerate(drawn):
    axes.bar(place, 1, color=colour)
image = Image.open(io.BytesIO(pictures.png(figure))).convert("RGB")
found = {"#%02x%02x%02x" % colour for _, colour in image.getcolors(image.width * image.height)}
print(sorted({colour.lower() for colour in drawn} - found))
"""


def test_a_picture_has_the_colours_that_were_drawn() -> None:
    """With few colours they must still be those: a text says *grey*, and readers look for grey."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "notebooks")}
    command = [sys.executable, "-c", COLOURS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def drive(how: str, *cells: str, env: dict[str, str] | None = None) -> list[str]:
    """What the cells printed in a kernel that was ended in this way."""
    done = subprocess.run(
        [sys.executable, DRIVER, how],
        input=json.dumps(cells),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == 0, done.stderr
    told: list[str] = json.loads(done.stdout)
    return told


def sleepers() -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[-2:] == ["sleep", "1234"]:
            found.append(process.pid)
    return found


def groups(name: str) -> list[Path]:
    return [path for top in Path("/sys/fs/cgroup").glob("**/") for path in top.glob(name)]


@pytest.mark.root
@pytest.mark.parametrize("how", ["shutdown", "kill"])
def test_everything_goes_with_the_kernel(how: str) -> None:
    made = json.loads(drive(how, MAKE)[0])
    assert "mydocker0" in made["links"] and {"root", "run"} <= set(made["files"])
    own = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "net", "uts")]
    assert not set(own) & set(made["namespaces"])
    eventually(lambda: not Path(made["directory"]).exists(), what="the directory goes")
    assert not psutil.pid_exists(made["kernel"])
    assert sleepers() == []
    assert groups(os.path.basename(made["group"])) == []


@pytest.mark.root
def test_what_a_dead_guardian_left_the_next_room_sweeps() -> None:
    made = json.loads(drive("kill-guardian", MAKE)[0])
    try:
        assert Path(made["directory"]).exists() and len(sleepers()) >= 4, "nothing to sweep"
    finally:  # whatever the assertion says, the machine has to be clean again
        later = json.loads(drive("shutdown", MAKE)[0])
    eventually(lambda: not Path(later["directory"]).exists(), what="the directory goes")
    assert not Path(made["directory"]).exists()
    assert sleepers() == []
    assert groups(os.path.basename(made["group"])) == []


# ---------------------------------------------------------------- exercises


@pytest.mark.root
def test_an_exercise_from_the_task_to_the_answer(tmp_path: Path) -> None:
    place = f"{tmp_path}/lab-02/steps"
    task, todo, first, second, ours, passed = drive(
        "shutdown",
        "from workbench import *; print(exercise('2.2').data)",
        "check('2.2')",
        "hint('2.2')",
        "hint('2.2')",
        "answer('2.2')",
        f"import shutil; shutil.rmtree('{place}'); shutil.copytree('{ROOT}/steps', '{place}')\n"
        "check('2.2')",
        env={"MYDOCKER_LABS": str(tmp_path)},
    )
    assert "Exercise 2.2: in which groups a process is" in task
    assert "lab-02/steps/02-cgroups/mydocker/cgroups/hierarchy.py" in task
    assert "Your copy was cut: lab-02" in todo and "to do" in todo
    assert "hint 1 of" in first and "hint 2 of" not in first
    assert "hint 1 of" in second and "hint 2 of" in second
    region = (ROOT / "steps/02-cgroups/mydocker/cgroups/hierarchy.py").read_text()
    lines = region.partition("# lab 2.2")[2].partition("# end lab")[0].splitlines()[1:]
    assert all(line.strip() in ours for line in lines)
    assert "✓ 2.2" in passed and "1 of 1 exercise passed" in passed


# ---------------------------------------------------------------- mydocker notebook


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def listeners(process: psutil.Process) -> set[str]:
    """The addresses at which the process listens."""
    found = process.net_connections("inet")
    return {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN}


@pytest.mark.root
def test_mydocker_notebook_starts_jupyterlab_on_loopback_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "log"
    with log.open("w") as file:
        started = subprocess.Popen(
            [*NOTEBOOK, "--no-browser", "--port", str(port)],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            env={**os.environ, "HOME": str(tmp_path / "home")},
        )  # fmt: skip
    try:
        address = rf"http://127\.0\.0\.1:{port}(/\S*)\?token=(\w+)"
        found = eventually(lambda: re.search(address, log.read_text()), 60, "its address")
        path, token = found.groups()
        process = psutil.Process(started.pid)
        listening = eventually(lambda: listeners(process), what="it listens")
        assert listening == {"127.0.0.1"}
        base = f"http://127.0.0.1:{port}"
        assert (ROOT / path.removeprefix("/lab/tree/")).is_file()
        stored = json.loads(get(f"{base}/api/contents/notebooks/proc.ipynb?token={token}"))
        assert stored["type"] == "notebook"
        specs = json.loads(get(f"{base}/api/kernelspecs?token={token}"))
        argv = specs["kernelspecs"][specs["default"]]["spec"]["argv"]
        assert "ipykernel_launcher" in argv
        page = get(f"{base}/lab?token={token}")
        (config,) = re.findall(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.S)
        assert json.loads(config)["news"] == {"disabled": True}
        settings = json.loads(get(
            f"{base}/lab/api/settings/@jupyterlab/apputils-extension:notification?token={token}"
        ))["settings"]  # fmt: skip
        assert settings["fetchNews"] == "false" and settings["checkForUpdates"] is False
        written = [str(path) for path in (tmp_path / "home").rglob("*")]
        assert written == [], "nothing is written into the reader's home"
    finally:
        started.terminate()
        started.wait(20)
    assert "nextversion" not in log.read_text()


def test_without_its_packages_it_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "lib").symlink_to(Path(sys.prefix) / "lib")
    done = subprocess.run(
        [*NOTEBOOK], env={**os.environ, "MYDOCKER_VENV": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 125
    command = re.escape(f"{ROOT}/mydocker notebook")
    assert re.search(rf"JupyterLab is not installed\. Start it by: {command}", done.stderr)
