"""The prober of a container: it tests its health whenever its monitor says so (``probes``).

A test is a command that is run in the container as ``exec`` runs one, by the user, in the directory
and with the environment of the container. It ends with 0, or the container is not well. Its
processes are in a control group of their own within the container's, so that nothing is left of a
test that is over, whatever it has started.
"""

import _socket
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mydocker.cgroups import freezer
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.hierarchy import V2, Hierarchy, Machine
from mydocker.cgroups.part import JoinGroup
from mydocker.container.parts import Part
from mydocker.container.process import Process
from mydocker.container.running import Container, new_identifier
from mydocker.engine.life.execution import ExecConfig, prepared, tell_start
from mydocker.engine.records import events
from mydocker.engine.records import health as records
from mydocker.engine.records.config import Config
from mydocker.engine.records.health import NOT_IN_TIME, STARTING, Health, Result
from mydocker.engine.records.state import RUNNING
from mydocker.engine.records.store import Store
from mydocker.engine.words.times import now
from mydocker.kernel import files
from mydocker.kernel.durations import duration_text
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.overlay2.healthcheck import Healthcheck

OUTPUT = 4096  # bytes of what a test writes; the rest is read, and lost
_NAME = "health"  # of the test's group
_LOOK = 1.0  # seconds between two questions whether the container is paused
_BLOCK = 64 << 10
_KILLED = 137


@record
class TestGroup(JoinGroup):
    """The container's group; in one hierarchy a group within it, for all that the test starts."""

    def hierarchy(self) -> Hierarchy | None:
        """Where the test has its own: one is enough to know its processes, and to kill them."""
        machine = self.made.group().machine
        first = next(iter(machine.usable), None)
        return machine.unified or machine.holding("freezer") or first

    def own(self) -> Cgroup | None:
        """The test's own group, seen in that hierarchy alone."""
        hierarchy = self.hierarchy()
        if hierarchy is None:
            return None
        return Cgroup(f"{self.made.path}/{_NAME}", Machine((hierarchy,), ()))

    def prepare(self) -> None:
        # Left by a prober that was killed. A group is not used again: in newer kernels (6.18), one
        # that was ever killed as a whole, by cgroup.kill, kills whoever is born in it from outside.
        self.clear()
        group = self.own()
        if group is not None and not group.exists:
            files.mkdir(group.directories[0], why="all that the test starts is found in here")

    def birthplace(self) -> str:
        place, group = super().birthplace(), self.own()
        unified = group is not None and group.machine.unified is not None
        return group.directories[0] if place and group and unified else place

    def attach(self, pid: int) -> None:
        super().attach(pid)
        group = self.own()
        if group is not None and not self.birthplace():
            group.attach(pid, version=V2)

    def enter(self) -> None:
        super().enter()
        group = self.own()
        if group is not None:
            group.join()  # of v1's hierarchies: in v2's it was born

    def clear(self) -> None:
        """End whatever is in the test's group, and remove that."""
        group = self.own()
        if group is None or not group.exists:
            return
        with suppress(Failure):  # one that does not die yet: the container's end, or the next test
            freezer.kill(group)
            group.remove()


class Gone(Exception):
    """The monitor wants no more tests."""


class Prober:
    """Tests the health of one container. ``monitor`` is the socket to its monitor."""

    def __init__(self, store: Store, identifier: str, monitor: _socket.socket) -> None:
        self.store = store
        self.id = identifier
        self.monitor = monitor
        self.health = Health()

    def test(self) -> str:
        """Make one test, and write down what came of it; the container's status after that."""
        config, state = self.store.config(self.id), self.store.state(self.id)
        check = records.check_of(config)
        if check is None or state.status != RUNNING:
            return self.health.status
        if self.health.started != state.started:
            self.health = records.read(self.store, self.id, state.started)
        result = self._result(config, check)
        before, self.health = self.health, self.health.after(result, check)
        records.note(self.store, self.id, self.health)
        if self.health.status != before.status:
            events.tell(self.store, config, f"health_status: {self.health.status}")
        return self.health.status

    def _result(self, config: Config, check: Healthcheck) -> Result:
        started, asked = now(), ExecConfig(check.arguments)
        try:
            with prepared(self.store, config, asked) as (process, parts):
                code, output = self._run(config, asked, process, parts, check.timeout)
        except Failure as failure:
            code, output = NOT_IN_TIME, str(failure)
        return Result(started, now(), code, output)

    def _run(
        self, config: Config, asked: ExecConfig, process: Process, parts: list[Part], timeout: int
    ) -> tuple[int, str]:
        """Run the test's command: its exit code, and what it wrote."""
        parts = [TestGroup(one.made) if isinstance(one, JoinGroup) else one for one in parts]
        group = next((one for one in parts if isinstance(one, TestGroup)), None)
        number = new_identifier()
        container = Container(number, process, 0, parts, self.store.run)
        written = Output()
        try:
            tell_start(self.store, config, asked, number)
            with written.taken():
                container.start()
            in_time = self._wait(container, written, timeout / 1e9)
            if not in_time and group is not None:
                group.clear()
            if not in_time:
                container.kill()
            code = container.wait().exit_code if in_time else _KILLED
            written.read()  # what it wrote at last is still in the pipe
        finally:
            container.kill()
            if group is not None:
                group.clear()
            container.release()
            written.close()
        events.tell(self.store, config, "exec_die", exitCode=str(code), execID=number)
        if in_time:
            return code, written.text
        shown = f"Health check exceeded timeout ({duration_text(timeout)})"
        return NOT_IN_TIME, f"{shown}: {written.text}" if written.text else shown

    def _wait(self, container: Container, written: "Output", seconds: float) -> bool:
        """Wait for the command's end: False if that did not come in time. Raises Gone.

        As long as the container is paused, no time passes for it.
        """
        poll = select.poll()
        for fd in (container.pidfd, written.fd, self.monitor.fileno()):
            poll.register(fd, select.POLLIN)
        while seconds > 0:
            before = time.monotonic()
            ready = {fd for fd, _ in poll.poll(min(seconds, _LOOK) * 1000)}
            if self.monitor.fileno() in ready:
                raise Gone
            if container.pidfd in ready:
                return True
            if written.fd in ready and not written.read():
                poll.unregister(written.fd)
            if ready or not self._paused():
                seconds -= time.monotonic() - before
        return False

    def _paused(self) -> bool:
        return self.store.state(self.id).status != RUNNING


class Output:
    """What a test writes to its standard output and error: a pipe, and the beginning of it."""

    def __init__(self) -> None:
        self.fd, self._theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fd, False)
        self._data = b""
        self._more = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Meanwhile our own standard output and error are this pipe."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            for fd in (1, 2):
                os.dup2(self._theirs, fd)
            yield
        finally:
            for fd in (1, 2):
                os.dup2(null, fd)
            for fd in (null, self._theirs):
                os.close(fd)
            self._theirs = -1

    def read(self) -> bool:
        """Read what is there; False if no more comes."""
        try:
            block = os.read(self.fd, _BLOCK)
        except BlockingIOError:
            return True
        room = OUTPUT - len(self._data)
        self._data += block[:room]
        self._more |= len(block) > room
        return bool(block)

    @property
    def text(self) -> str:
        """As ``inspect`` shows it."""
        return self._data.decode(errors="replace") + ("..." if self._more else "")

    def close(self) -> None:
        """Close both ends."""
        for fd in (self.fd, self._theirs):
            if fd >= 0:
                os.close(fd)
        self.fd = self._theirs = -1


def main() -> None:
    """The program of the prober: its standard input is the socket to the monitor."""
    root, run, identifier = sys.argv[1:4]
    monitor = _socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    prober = Prober(Store(root, run), identifier, monitor)
    with suppress(Gone, OSError):
        while monitor.recv(1):
            try:
                status = prober.test()
            except Failure:  # it is being removed, or its files are damaged
                status = ""
            monitor.send(b"s" if status == STARTING else b".")
