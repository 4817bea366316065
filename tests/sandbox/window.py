"""Run a program with the one moment made wide in which a signal can be lost.

Python's handlers run between two steps of the program. A signal that comes after the last step
before a system call that waits is noted, and the call waits. That moment is some microseconds.
Under this module it is as long as the whole wait:

- handlers are installed with SA_RESTART (siginterrupt(3)): the kernel calls the handler in C, which
  notes the signal, and then goes on with waitpid, read, recv, flock as if nothing had been;
- poll(2), select(2) and sleeps, which the kernel never goes on with, happen in a second thread,
  for which the main thread waits in a read that it does go on with.

So a program hears a signal only if what it waits for ends: the loss, at every try.

    python3 window.py MAIN.py ARGUMENT…

It is loaded alone, without the suite: in the program that is tested.
"""

import _signal  # type: ignore[import-not-found]
import _thread
import os
import runpy
import select
import sys
import time
from collections.abc import Callable
from typing import Any


class Worker:
    """The second thread. It is there from the beginning: who has joined the PID namespace of
    another process can start none any more (setns(2))."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.job, self.begin = os.pipe()
        self.end, self.done = os.pipe()
        self.call: Callable[[], Any] = int
        self.value: Any = None
        self.error: BaseException | None = None
        _thread.start_new_thread(self.work, ())

    def work(self) -> None:
        while os.read(self.job, 1):
            self.value = self.error = None
            try:
                self.value = self.call()
            except BaseException as error:
                self.error = error
            os.write(self.done, b".")

    def do(self, call: Callable[[], Any]) -> Any:
        self.call = call
        os.write(self.begin, b".")
        os.read(self.end, 1)
        if self.error is not None:
            raise self.error
        return self.value


workers: list[Worker] = []


def worker() -> Worker:
    """Ours, and not that of the process which forked us."""
    if not workers or workers[0].owner != os.getpid():
        workers[:] = [Worker()]
    return workers[0]


def uninterrupted(call: Callable[..., Any]) -> Callable[..., Any]:
    """``call``, but a signal does not end it and no handler in Python runs before its end."""

    def wait(*arguments: Any) -> Any:
        return worker().do(lambda: call(*arguments))

    return wait


class Poll:
    """As select.poll()."""

    def __init__(self) -> None:
        made = real_poll()
        self.register, self.unregister, self.modify = made.register, made.unregister, made.modify
        self.poll = uninterrupted(made.poll)


real_poll = select.poll
real_signal = _signal.signal


def restarting(number: int, handler: Any) -> Any:
    """As signal.signal()."""
    before = real_signal(number, handler)
    if callable(handler):
        _signal.siginterrupt(number, False)
    return before


def widen() -> None:
    """From now on every signal of this process comes just before a wait."""
    worker()
    _signal.signal = restarting
    for number in _signal.valid_signals():
        if callable(handler := _signal.getsignal(number)):
            restarting(number, handler)
    select.poll = Poll  # type: ignore[assignment, misc]
    select.select = uninterrupted(select.select)
    time.sleep = uninterrupted(time.sleep)


if __name__ == "__main__":
    widen()
    del sys.argv[0]
    sys.path[0] = os.path.dirname(sys.argv[0])
    runpy.run_path(sys.argv[0], run_name="__main__")
