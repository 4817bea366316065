"""Start a kernel as Jupyter does, run cells in it, end it in a way that the caller chooses.

A program of its own, because Jupyter's client starts threads: ``driver.py HOW``, the cells as a
JSON list on standard input, what they printed as a JSON list on standard output. HOW: ``shutdown``
asks the kernel to end, ``kill`` sends SIGKILL, ``kill-guardian`` kills its guardian before.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

HERE = Path(__file__).resolve().parents[2] / "notebooks"


def run(client: BlockingKernelClient, cell: str) -> str:
    """What the cell printed, or the error that it raised."""
    printed: list[str] = []

    def hear(message: dict[str, dict[str, str]]) -> None:
        content = message["content"]
        if "text" in content:
            printed.append(content["text"])
        elif "evalue" in content:
            printed.append(f"{content['ename']}: {content['evalue']}")

    client.execute_interactive(cell, timeout=60, output_hook=hear)
    return "".join(printed)


def main() -> None:
    """The program."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["IPYTHONDIR"] = os.environ["JUPYTER_RUNTIME_DIR"] = place
        manager = KernelManager(transport="ipc", ip=f"{place}/kernel")
        # What outlives the kernel must not keep our own output open: somebody waits for its end.
        null = subprocess.DEVNULL
        manager.start_kernel(cwd=str(HERE), stdout=null, stderr=null)
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        try:
            told = [run(client, cell) for cell in json.load(sys.stdin)]
        finally:
            client.stop_channels()
            end(manager, sys.argv[1])
    json.dump(told, sys.stdout)


def end(manager: KernelManager, how: str) -> None:
    """End the kernel."""
    if how == "shutdown":
        manager.shutdown_kernel()
        return
    pid = manager.provisioner.pid  # type: ignore[union-attr]
    if how == "kill-guardian":
        for child in psutil.Process(pid).children():
            if any("guardian" in word for word in child.cmdline()):
                child.kill()
    os.kill(pid, signal.SIGKILL)
    manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
