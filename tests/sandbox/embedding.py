"""A program that stands on the engine as a library: the text that all such programs begin with."""

import subprocess
import sys
from pathlib import Path

from sandbox.machine import Sandbox
from sandbox.patience import patience

_TESTS = Path(__file__).parents[1]

_BEGIN = """
import json, os, signal, sys, threading
layers, tests = sys.argv[1:3]
sys.path[:0] = [*layers.split(":"), tests]
from sandbox.oneself import changed, myself
from mydocker.cli.options import configuration
from mydocker.cli.run import create as command
from mydocker.engine.life import creation, execution, lifecycle, removal
from mydocker.engine.looking import logs
from mydocker.engine.records.store import Store
from mydocker.kernel import trace
from mydocker.kernel.errors import Failure
from mydocker.overlay2.options import find_image

store = Store(os.environ["MYDOCKER_ROOT"], os.environ["MYDOCKER_RUN"])

def configured(name, *words):
    options = command.make_context("create", ["--name", name, *words]).params
    image, arguments = options.pop("image"), options.pop("command")
    options.pop("root")
    return configuration(find_image(store.root, image), image, arguments, options)

def made(name, *words):
    return creation.create(store, configured(name, "--net", "none", *words))

def started(name, *words):
    config = made(name, *words)
    lifecycle.start(store, config.id).close()
    return config

def told(name):
    return [line.text for line in logs.read(store, name)]

def pid(config):
    return store.state(config.id).process.pid

def group_of(pid):
    return open(f"/proc/{pid}/cgroup").read()

def execute(name, *words):
    return execution.execute(store, name, execution.ExecConfig(words)).exit_code
"""


def embedding(
    sandbox: Sandbox, program: str, *arguments: str, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run ``program`` in a Python of its own; its ``sys.argv`` has the arguments from 3 on."""
    layers = ":".join(map(str, sorted(sandbox.steps.glob("[0-9][0-9]-*"))))
    return subprocess.run(
        [sys.executable, "-c", _BEGIN + program, layers, str(_TESTS), *arguments],
        capture_output=True,
        text=True,
        timeout=patience(seconds),
    )
