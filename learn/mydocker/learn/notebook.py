"""``mydocker notebook``: JupyterLab with the course's notebooks, on this machine alone."""

import json
import os
import sys

import click

from mydocker.container.flags import command
from mydocker.kernel.errors import Failure
from mydocker.labs.manifest import default_repository

# JupyterLab asks the world for news, for a newer version and for extensions unless told not to.
_SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "checkForUpdates": False,
        "fetchNews": "false",
    },
    "@jupyterlab/extensionmanager-extension/plugin.jupyterlab-settings": {"enabled": False},
}


@command()
@click.option("--port", type=click.IntRange(1, 65535), default=8888, metavar="N",
              help="Default: 8888, or the next that is free.")  # fmt: skip
@click.option("--ip", default="127.0.0.1", metavar="ADDRESS",
              help="Where to listen. Default: 127.0.0.1, this machine alone.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Only print the address to open.")
def notebook(port: int, ip: str, no_browser: bool) -> None:
    """Start JupyterLab with the notebooks: see, draw and measure what containers are made of.

    A notebook has namespaces, images and control groups of its own, which go when its kernel ends.
    Without root, cells that need it show what was recorded. Ctrl-C twice ends it.
    """
    repository = default_repository()
    venv = os.path.abspath(os.environ.get("MYDOCKER_VENV") or f"{repository}/.venv")
    python = f"{venv}/bin/python3"
    if not os.path.exists(f"{venv}/bin/jupyter-lab"):
        launcher = f"{repository}/mydocker"
        raise Failure("JupyterLab is not installed", f"Start it by: {launcher} notebook")
    place = _place(venv)
    environment = _environment(place)
    arguments = _arguments(repository, place, ip, port, no_browser)
    sys.stdout.flush()
    os.execve(python, [python, "-m", "jupyterlab", *arguments], environment)


def _place(venv: str) -> str:
    """Where JupyterLab keeps what it keeps: beside its packages if we may, and not in your home."""
    if os.access(venv, os.W_OK):
        return f"{venv}/jupyter"
    import tempfile

    return tempfile.mkdtemp(prefix="mydocker-jupyter-")


def _environment(place: str) -> dict[str, str]:
    """The directories of Jupyter and IPython, with our settings in them."""
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    for name in folders.values():
        os.makedirs(f"{place}/{name}", mode=0o700, exist_ok=True)
    for name, settings in _SETTINGS.items():
        path = f"{place}/settings/{name}"
        if not os.path.exists(path):  # else the reader has chosen otherwise since
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                json.dump(settings, file)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return clean | {variable: f"{place}/{name}" for variable, name in folders.items()}


def _arguments(repository: str, place: str, ip: str, port: int, no_browser: bool) -> list[str]:
    """The command line of ``jupyter lab``."""
    return [
        f"--ServerApp.root_dir={repository}",
        "--LabApp.default_url=/lab/tree/notebooks/proc.ipynb",
        f"--ServerApp.ip={ip}",
        f"--ServerApp.port={port}",
        # Kernels are talked to by sockets in a directory that only their owner may enter.
        "--KernelManager.transport=ipc",
        f"--KernelManager.ip={place}/runtime/kernel",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--LanguageServerManager.autodetect=False",  # it would ask npm, which writes into your home
        *(["--allow-root"] if os.geteuid() == 0 else []),
        *(["--no-browser"] if no_browser or os.geteuid() == 0 else []),
    ]
