"""One process calls the engine again and again: no call leaves anything behind in it."""

import pytest
from sandbox.containers import Containers
from sandbox.embedding import embedding
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root


def test_the_container_after_an_exec_is_born_in_its_own_namespaces(
    docker: Containers, sandbox: Sandbox
) -> None:
    """An exec joins another's PID namespace; who did so once had all later children in there, and
    their pids were numbers of that place: of other processes here."""
    done = embedding(
        sandbox,
        """
first = started("first", "busybox", "sleep", "1000")
print(execute("first", "true"))
second = started("second", "busybox", "sh", "-c", "echo $$; exec sleep 1000")
print(second.id in group_of(pid(second)))
print(os.readlink(f"/proc/{pid(first)}/ns/pid") != os.readlink(f"/proc/{pid(second)}/ns/pid"))
removal.remove(store, "first", force=True)
removal.remove(store, "second", force=True)
print(store.ids())
""",
    )
    assert (done.stdout, done.stderr) == ("0\nTrue\nTrue\n[]\n", "")


def test_no_call_leaves_anything_behind_in_its_process(
    docker: Containers, sandbox: Sandbox
) -> None:
    """Namespaces, descriptors, children, signal handlers, the dumpable flag, and so on; also after
    calls that fail."""
    done = embedding(
        sandbox,
        """
import time
def fails(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Failure as failure:
        return
    raise AssertionError("it did not fail")

signal.signal(signal.SIGTERM, lambda *_: None)
config = made("warm-up", "busybox", "true")  # what is imported, stays
trace.request("none", (), "", os.getpid)
before = myself()
def told_of(what):
    now = {**myself(), "children": before["children"]}  # a monitor is one, and ends when it likes
    if found := changed(before, now):
        print(what, found)

first = started("first", "busybox", "sleep", "1000"); told_of("start")
execute("first", "true"); told_of("exec")
fails(execute, "first", "no-such-command"); told_of("a failed exec")
options = execution.ExecConfig(("true",))
execution.execute_detached(store, "first", options); told_of("detached")
connection = execution.execute_attached(store, "first", options)
while connection.recv(1 << 16): pass
connection.close(); told_of("attached")
wrong = made("wrong", "busybox", "no-such-command")
fails(lifecycle.start, store, wrong.id); told_of("a failed start")
with trace.listening(lambda event: None):
    execute("first", "true")
told_of("a listener")
lifecycle.pause(store, "first"); lifecycle.unpause(store, "first"); told_of("pause")
lifecycle.stop(store, "first", 0); told_of("stop")
for name in ("first", "wrong", "warm-up"):
    removal.remove(store, name); told_of("rm")
until = time.monotonic() + 20
while (children := myself()["children"]) and time.monotonic() < until:
    time.sleep(0.1)
    removal.remove(store, made("last", "busybox").id)  # a call takes away those that ended
print(children)
print("done")
""",
    )
    assert (done.stdout, done.stderr) == ("[]\ndone\n", "")


def test_a_command_in_a_container_from_a_thread(docker: Containers, sandbox: Sandbox) -> None:
    """Signal handlers are for the main thread, and so is what an exec does with them."""
    done = embedding(
        sandbox,
        """
first = started("first", "busybox", "sleep", "1000")
execute("first", "true")
before, codes = myself(), []
for code in (0, 7):
    def one():
        codes.append(execute("first", "sh", "-c", f"exit {code}"))
    thread = threading.Thread(target=one)
    thread.start()
    thread.join()
print(codes, changed(before, myself()))
removal.remove(store, "first", force=True)
""",
    )
    assert (done.stdout, done.stderr) == ("[0, 7] {}\n", "")


def test_commands_from_threads_that_begin_and_end(docker: Containers, sandbox: Sandbox) -> None:
    """A child of clone3(2) takes its parent's threads for its own: libc's setgroups(3) waited in it
    for one that was just beginning, for ever."""
    done = embedding(
        sandbox,
        """
started("first", "busybox", "sleep", "1000")
codes, over = [], threading.Event()
def begin_and_end():
    while not over.is_set():
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
def some():
    for number in range(5):
        codes.append(execute("first", "sh", "-c", f"exit {number}"))
restless = threading.Thread(target=begin_and_end)
restless.start()
threads = [threading.Thread(target=some) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
over.set()
restless.join()
print(sorted(codes) == sorted([*range(5)] * 4))
removal.remove(store, "first", force=True)
""",
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
