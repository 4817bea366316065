"""Run a container: walk its parts through their four moments around one process.

prepare in order, clone3, attach in order, go, enter in order (``child``), execve, wait, release in
reverse. Whatever goes wrong on the way, what was prepared is released.
"""

import _thread
import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from mydocker.container import channel, child, chroot, state, terminal
from mydocker.container.parts import Part, saved
from mydocker.container.process import Process
from mydocker.container.processes import Identity, identify, myself
from mydocker.kernel import signals, syscalls, trace
from mydocker.kernel.errors import Failure, hints
from mydocker.kernel.records import record

if TYPE_CHECKING:  # few containers are made in two halves
    from mydocker.container.gate import Gate

# Signals that, sent to us, are meant for the command
FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

_HINTS = {
    errno.EPERM: "New namespaces need root: use sudo, or a user namespace as well (--user)",
    errno.EINVAL: "This kernel does not know one of the namespaces asked for: see ls /proc/self/ns",
    errno.ENOSPC: "Too many namespaces, or too deep: see /proc/sys/user/max_*_namespaces",
    errno.EUSERS: "User namespaces can be nested 32 deep and no deeper",
    errno.EAGAIN: "A limit on processes is reached: see ulimit -u, and pids.max of your cgroup",
    errno.ENOMEM: "No memory, or the PID namespace that the child would join has lost its PID 1",
    errno.ENOSYS: "clone3 came with Linux 5.3: this kernel is older, or seccomp forbids it",
}
_TO_JOIN = {
    errno.EPERM: "To join, you need CAP_SYS_ADMIN in them and over the process: use sudo",
    errno.EINVAL: "setns takes a pidfd since Linux 5.8",
    errno.ESRCH: "The process ended meanwhile",
}
_NO_USER_NAMESPACE = (
    "This machine lets only root make a user namespace (see /proc/sys/kernel/"
    "*unprivileged_userns*), or you are in a chroot: use sudo"
)


@record
class Ended:
    """How a container ended: its exit code (128+n after signal n), and what its parts say of it."""

    exit_code: int
    remarks: tuple[str, ...] = ()


def new_identifier() -> str:
    """A container's id: 64 hexadecimal digits, of which people use the first 12."""
    return os.urandom(32).hex()


class Container:
    """One container: its parts and, once started, its first process.

    ``namespaces`` are CLONE_NEW* flags for clone3(2); ``run`` is the directory for the record that
    lets a later process clean up.
    """

    def __init__(
        self, identifier: str, process: Process, namespaces: int, parts: list[Part], run: str
    ) -> None:
        self.id = identifier
        self.process = process
        self.namespaces = namespaces
        self.parts = parts
        self.run = run
        self.pid = 0
        self.pidfd = -1
        self.master = -1  # of its terminal, if it has one
        self.going = False  # the container's side was told to go
        self.started = False  # and we heard that it is the command
        self.ending = False
        self.gate: Gate | None = None  # where its process waits, if it is made in two halves
        self._saved = saved(parts)

    def start(self) -> None:
        """Make the container; return when the command runs. Nothing is left behind by a failure.

        Raises Failure, from whichever side it came. Call it from a program with one thread.
        """
        try:
            self._begin()
            for part in self.parts:
                part.prepare()
            self._clone()
        except BaseException:
            self.kill()
            self.release()
            raise

    def _begin(self) -> None:
        """Before anything is made: write down what will be."""
        self._record(Identity(0, 0))

    def _clone(self) -> None:
        ours, theirs = channel.pair()
        # A signal now waits until each side knows which it is: a handler of ours that ran in the
        # child would release there what the host's side has prepared.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        try:
            with hints(_hints(self.namespaces)), _born_hidden(self.parts), _born_into(self.parts):
                self.pid, self.pidfd = syscalls.clone3(
                    self.namespaces,
                    cgroup=next(filter(None, (part.birthplace() for part in self.parts)), ""),
                    why="a child process with namespaces of its own",
                )
            if self.pid == 0:
                ours.close()
                child.become(self.process, self.parts, theirs, self.gate)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        try:
            self._record(identify(self.pid))
            self._attach()
            self.going = True
            with suppress(BrokenPipeError):  # it was killed: what it said before is heard now
                ours.send({"go": trace.count(), "observed": trace.observed()})
            self._listen(ours)
        finally:
            ours.close()
        self.started = True

    def _attach(self) -> None:
        for part in self.parts:
            part.attach(self.pid)

    def _listen(self, ours: channel.Channel) -> bool:
        """Hear what the container's side says until it is the command: then the channel closes.

        True: it is not, and says that it waits.
        """
        while True:
            signals.ready(ours.fileno())
            message, descriptor = ours.receive()
            if message is None:
                return False
            if "created" in message:
                return True
            self._hear(message, descriptor)

    def _hear(self, message: dict[str, Any], descriptor: int | None) -> None:
        hear(message)
        if descriptor is not None:
            self.master = descriptor

    def _recorded(self) -> bool:
        """Whether anybody has to know of it later."""
        return bool(self._saved)

    def _record(self, process: Identity, owner: Identity | None = None) -> None:
        if self._recorded():
            state.write(self.run, state.State(self.id, owner or myself(), process, self._saved))

    def wait(self) -> Ended:
        """Wait for the end of the command; relays its terminal meanwhile if it has one."""
        if self.master >= 0:
            terminal.relay(self.master, self.pidfd, self.process.input)
        status = signals.reap(self.pid, self.pidfd)
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        remarks = [remark for part in self.parts if (remark := part.epitaph())]
        return Ended(code if code >= 0 else 128 - code, tuple(remarks))

    def signal(self, number: int) -> None:
        """Send a signal to the first process; nothing happens if it is gone."""
        if self.pid <= 0:
            return
        with suppress(ProcessLookupError, Failure):
            syscalls.pidfd_send_signal(
                self.pidfd, number, pid=self.pid, why="a signal for us is for the command"
            )

    def kill(self) -> None:
        """End the process now, if there is one. May be called twice."""
        if self.pid <= 0:
            return
        try:
            why = "end the container's first process, and with it all others"
            syscalls.pidfd_send_signal(self.pidfd, signal.SIGKILL, pid=self.pid, why=why)
        except Failure:
            # Whatever the reason, it has to end now. It is ours, and not yet waited for: the pid
            # cannot be another's.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        signals.reap(self.pid, self.pidfd)
        self.pid = 0

    def release(self) -> None:
        """Undo all parts, last first, then forget the record; raises what failed, after trying all.

        A part that failed is tried a second time when the others are gone.
        """
        self.ending = True
        for descriptor in (self.master, self.pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self.master = self.pidfd = -1
        if release_all(self.parts) and (failures := release_all(self.parts)):
            raise failures[0]
        if self._recorded():
            state.remove(self.run, self.id)


def hear(message: dict[str, Any]) -> None:
    """What the container's side says: raise its error, tell its event, let an injected kill hit."""
    if "error" in message:
        raise chroot.explained(channel.error_of(message))
    if "kill" in message:
        os.kill(os.getpid(), signal.SIGKILL)
    if "event" in message:
        trace.relay(channel.event_of(message))


def _hints(namespaces: int) -> dict[int, str]:
    """What a refusal of clone3(2) usually means, for these namespaces."""
    if namespaces & syscalls.CLONE_NEWUSER:
        return {**_HINTS, errno.EPERM: _NO_USER_NAMESPACE}
    return _HINTS


# All threads of a process have the one flag: the first that hides sets it, the last takes it away.
_lock = _thread.allocate_lock()
_hiding = 0
_were_dumpable = True
_generation = 0  # a pid would not tell a child from us: in its namespace it may have our number


def _alone() -> None:
    """In a child: the thread that holds the lock may be none of its own."""
    global _lock, _hiding, _generation
    _lock, _hiding, _generation = _thread.allocate_lock(), 0, _generation + 1


os.register_at_fork(after_in_child=_alone)


@contextmanager
def _born_into(parts: list[Part]) -> Iterator[None]:
    """Meanwhile our children are born into the PID namespace that a part has chosen, if one has."""
    found = (part.pid_namespace() for part in parts)
    chosen, path = next((one for one in found if one[0] >= 0), (-1, ""))
    if chosen < 0:
        yield
        return
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    ours = _generation
    try:
        why = "our next child will be among the processes of another container"
        with hints(_TO_JOIN):
            syscalls.setns(chosen, syscalls.CLONE_NEWPID, shown=path, why=why)
        yield
    finally:
        if _generation == ours:  # and not the child, which is where it shall be
            why = "and those after it among ours again"
            syscalls.setns(own, syscalls.CLONE_NEWPID, shown="/proc/self/ns/pid", why=why)
        os.close(own)


@contextmanager
def _born_hidden(parts: list[Part]) -> Iterator[None]:
    """Meanwhile we are not dumpable, if a part wants that: the child is like us from the start."""
    global _hiding, _were_dumpable
    if not any(part.hides() for part in parts):
        yield
        return
    ours = _generation
    with _lock:
        if _hiding == 0:
            _were_dumpable = syscalls.dumpable()
        why = "our child is born so: nobody inside may open its files or trace it"
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0, why=why)
        _hiding += 1
    try:
        yield
    finally:
        if _generation == ours:
            _show()


def _show() -> None:
    """We are none of the container's processes, and from now on as we were."""
    global _hiding
    with _lock:
        _hiding -= 1
        if _hiding == 0 and _were_dumpable:
            why = "and we are as before: it is the child that hides"
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1, why=why)


def release_all(parts: list[Part]) -> list[Failure]:
    """Release every part, last first, and go on after a failure; the failures."""
    failures = []
    for part in reversed(parts):
        try:
            part.release()
        except Failure as failure:
            failures.append(failure)
    return failures


@contextmanager
def signals_for(container: Container) -> Iterator[Callable[[], None]]:
    """Signals for us are signals for the command; before it runs, they end the start.

    In between it may run already, and we have not heard of it: then they wait, and a second one
    ends the start. One that our caller ignores stays ignored: that is how nohup(1) and background
    jobs work. In a thread nothing of this is done: there are no signals for it.
    """
    if not signals.for_us():
        yield lambda: None
        return
    waiting: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if container.started:
            container.signal(number)
        elif container.going and not waiting and not container.ending:
            waiting.append(number)
        elif not container.ending:
            raise SystemExit(128 + number)

    def deliver() -> None:
        for number in waiting:
            container.signal(number)

    taken = [number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in taken}
    # If our caller ignores SIGCHLD, and we inherited that, the kernel forgets exit codes.
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield deliver
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    process: Process,
    namespaces: int,
    parts: list[Part],
    *,
    run_directory: str,
    identifier: str = "",
) -> Ended:
    """Run ``process`` in a container made of ``parts`` and wait for its end.

    Raises Failure if it could not be started; then and otherwise nothing of it is left.
    """
    container = Container(identifier or new_identifier(), process, namespaces, parts, run_directory)
    with signals_for(container) as deliver_early_ones:
        container.start()
        deliver_early_ones()
        try:
            return container.wait()
        except BaseException:
            container.kill()
            raise
        finally:
            container.release()
