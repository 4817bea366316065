"""A container in two halves, each of which a program of its own makes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sandbox.machine import Sandbox
from sandbox.patience import patience

ID = "c0ffee" + "0" * 58

# argv: the layers, the run directory, the id, what to do, and for create which container
PROGRAM = """
import json, os, sys
layers, run, identifier, verb, *words = sys.argv[1:]
sys.path[:0] = layers.split(":")
from contextlib import ExitStack
from mydocker.container import halves
from mydocker.container.exit_codes import OURS, exit_code
from mydocker.kernel import trace
from mydocker.kernel.errors import Failure

def namespaces(*words):
    from mydocker.container.order import in_order
    from mydocker.container.process import Process
    from mydocker.namespaces.specification import Namespaces, namespace_parts, proc_parts
    options, arguments = json.loads(words[0]), words[1:]
    asked, process = Namespaces(), Process(arguments, {"PATH": "/usr/bin:/bin"}, **options)
    parts = [*namespace_parts(asked, identifier), *proc_parts(asked)]
    return process, asked.clone_flags, in_order(parts)

def whole(*words):
    from mydocker.engine import assembly
    from mydocker.engine.records.store import Store
    from mydocker.engine.truth import finder
    store = Store(os.environ["MYDOCKER_ROOT"], run)
    config = store.config(identifier)
    parts = assembly.parts_of(store, config, finder(store))
    return assembly.process_of(config), config.namespaces.clone_flags, parts

def tell(events):
    print(json.dumps([[one.number, one.side, one.call, list(one.arguments)] for one in events]))

events = []
with ExitStack() as stack:
    if os.environ.get("TELL"):
        stack.callback(tell, events)
        stack.enter_context(trace.listening(events.append))
    try:
        if verb == "create":
            process, flags, parts = (namespaces if words[0].startswith("{") else whole)(*words)
            halves.create(process, flags, parts, run_directory=run, identifier=identifier)
        elif verb == "start":
            halves.start(run, identifier)
        elif verb == "status":
            print(halves.status(run, identifier))
        else:
            halves.delete(run, identifier, force=bool(words))
    except Failure as failure:
        print(f"{failure}", file=sys.stderr)
        sys.exit(exit_code(failure, OURS))
"""


class Halves:
    """The programs, and what they leave in the run directory."""

    def __init__(self, sandbox: Sandbox, identifier: str = ID) -> None:
        self.sandbox = sandbox
        self.id = identifier
        self.directory = Path(sandbox.run) / identifier

    def argv(self, verb: str, *words: str) -> list[str]:
        """The command line of one of the programs."""
        layers = ":".join(map(str, sorted(self.sandbox.steps.glob("[0-9][0-9]-*"))))
        own = [layers, str(self.sandbox.run), self.id, verb, *words]
        return [sys.executable, "-ISc", PROGRAM, *own]

    def __call__(
        self, verb: str, *words: str, code: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one to its end; None: whatever its exit code is.

        What it prints is in pipes, which the container has too: so they are files here, or the
        wait for their end would be one for the container's.
        """
        out, err = (Path(self.sandbox.directory) / f"halves.{name}" for name in ("out", "err"))
        with out.open("w") as stdout, err.open("w") as stderr:
            done = subprocess.run(
                self.argv(verb, *words),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                timeout=patience(60),
                env={**os.environ, **(env or {})},
            )
        told = out.read_text(), err.read_text()
        assert code is None or done.returncode == code, (done.returncode, told)
        return subprocess.CompletedProcess(done.args, done.returncode, *told)

    def events(self, verb: str, *words: str) -> list[list[Any]]:
        """What one of them tells: of each request its number, side, call and arguments."""
        told: list[list[Any]] = json.loads(self(verb, *words, env={"TELL": "1"}).stdout)
        return told

    def status(self) -> str:
        """Its state; "" if there is no such container."""
        return self("status", code=None).stdout.strip()

    def process(self) -> Path:
        """/proc of its process."""
        record = json.loads((self.directory / "state.json").read_text())
        return Path(f"/proc/{record['process']['pid']}")
