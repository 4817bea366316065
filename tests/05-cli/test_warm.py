"""The warm process: one program with threads does many things at once, and stays what it was.

``MYDOCKER_TEST_ROUNDS`` says how much: 125 operations a round, so that 4 make 500.
"""

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from sandbox.containers import Containers
from sandbox.embedding import embedding
from sandbox.machine import Sandbox
from sandbox.patience import patience

pytestmark = pytest.mark.root

ROUNDS = int(os.environ.get("MYDOCKER_TEST_ROUNDS", "1"))

WARM = f"""
import random, time
from sandbox.oneself import memory
from mydocker.engine.warm.client import Warm

PATIENCE = {patience(20)}

"""
WARM += """
def asked(name, *words):
    return configured(name, *words).to_json()

def eventually(question, what):
    until = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < until, what
        time.sleep(0.02)

def output(operation, name, *arguments, **named):
    "What an operation writes to its standard output, and its answer."
    reader, writer = os.pipe()
    with open(reader) as file:
        try:
            answer = warm.call(operation, name, *arguments, streams=[0, writer, 2], **named)
        finally:
            os.close(writer)
        return file.read(), answer

def inside(name, text):
    said, ended = output("exec", name, {"arguments": ["sh", "-c", text]})
    return said, ended["exit_code"]

def children():
    return myself()["children"]

def in_threads(count, work):
    failures = []
    def one(number):
        try:
            work(number)
        except BaseException as error:
            failures.append(error)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if failures:
        raise failures[0]

warm = Warm(store.root, store.run, cgroup_parent=os.environ["MYDOCKER_CGROUP_PARENT"])
"""

MANY = """
seed, operations = sys.argv[3], int(sys.argv[4])
THREADS, EACH = 4, 5

class Box:
    "A container, and what it should be."

    def __init__(self, number):
        self.name, self.choose = f"box{number:02}", random.Random(f"{seed} {number}")
        self.networked = number % EACH == 0
        self.there = self.runs = self.connected = False
        self.starts, self.content, self.id, self.images, self.made = 0, "", "", 0, 0

    def could(self):
        if not self.there:
            return ["create"]
        words = ["rm", "commit", "logs", "network", "volume"]
        if self.runs:
            words += ["exec", "exec", "exec", "stop", "logs", "start"]
            words += ["connect"] if self.networked else []
        else:
            words += ["start", "start", "start"]
        return words

    def act(self):
        getattr(self, self.choose.choice(self.could()))()

    def create(self):
        net = "lab" if self.networked else "none"
        text = "echo started; cat /content 2> /dev/null; exec sleep 1000"
        config = asked(self.name, "--net", net, "busybox", "sh", "-c", text)
        self.id = warm.call("create", config)["id"]
        self.there, self.starts, self.content, self.log = True, 0, "", ""

    def start(self):
        warm.call("start", self.name)
        if not self.runs:
            self.starts += 1
            self.log += "started\\n" + self.content
        self.runs = True

    def exec(self):
        word = f"{self.choose.random()}\\n"
        said, code = inside(self.name, f"echo '{word[:-1]}' > /content; cat /content; exit 7")
        assert (said, code) == (word, 7), (said, code)
        self.content = word

    def logs(self):
        eventually(lambda: output("logs", self.name)[0] == self.log, "the log of " + self.name)

    def stop(self):
        self.logs()
        warm.call("stop", self.name, timeout=0)
        self.runs = self.connected = False

    def rm(self):
        warm.call("rm", self.name, force=self.runs)
        self.there = self.runs = self.connected = False

    def commit(self):
        self.images += 1
        assert warm.call("commit", self.name, f"{self.name}:now").startswith("sha256:")

    def network(self):
        name = f"net-{self.name}"
        warm.call("network_create", name)
        warm.call("network_rm", name)

    def connect(self):
        if self.connected:
            warm.call("network_disconnect", self.name, "other")
        else:
            warm.call("network_connect", self.name, {"network": "other"})
        self.connected = not self.connected

    def volume(self):
        name = f"vol-{self.name}"
        assert warm.call("volume_create", name) == name
        warm.call("volume_rm", name)

    def check(self):
        if not self.there:
            try:
                warm.call("inspect", self.name)
            except Failure as failure:
                assert type(failure).__name__ == "NoSuchContainer", failure
                return
            raise AssertionError(f"{self.name} is there")
        told = warm.call("inspect", self.name)
        assert told["Id"] == self.id and told["Name"] == f"/{self.name}"
        assert told["State"]["Running"] == self.runs, (self.name, told["State"])
        self.logs()
        if self.runs:
            number = told["State"]["Pid"]
            assert self.id in group_of(number)
            assert open(f"/proc/{number}/comm").read() == "sleep\\n"
            assert os.readlink(f"/proc/{number}/ns/pid") != os.readlink("/proc/self/ns/pid")
            said, code = inside(self.name, "cat /content 2>/dev/null; ls /sys/class/net | wc -l")
            links = 1 + self.networked + self.connected
            assert said == f"{self.content}{links}\\n", (said, self.content, links)

def of_warm(name):
    lines = open(f"/proc/{warm.pid}/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

warm.call("network_create", "lab")
warm.call("network_create", "other")
boxes = [Box(number) for number in range(THREADS * EACH)]
in_threads(THREADS, lambda thread: [box.create() for box in boxes[thread::THREADS]])
in_threads(THREADS, lambda thread: boxes[thread].start())
# All that is imported and kept once, by both sides, is there now.
before, kilobytes, theirs = myself(), memory(), of_warm("RssAnon")
open_there = len(os.listdir(f"/proc/{warm.pid}/fd"))

def work(thread):
    mine, choose = boxes[thread::THREADS], random.Random(f"{seed} thread {thread}")
    for _ in range(operations // THREADS):
        choose.choice(mine).act()

in_threads(THREADS, work)
in_threads(THREADS, lambda thread: [box.check() for box in boxes[thread::THREADS]])
print(changed(before, myself()))
eventually(lambda: len(os.listdir(f"/proc/{warm.pid}/fd")) == open_there, "descriptors over there")
eventually(lambda: not open(f"/proc/{warm.pid}/task/{warm.pid}/children").read(), "workers")
grown, grown_there = memory() - kilobytes, of_warm("RssAnon") - theirs
assert grown < 8 << 10, f"{grown} kB more here"
assert grown_there < 2 << 10, f"{grown_there} kB more in the warm process"
pids = [warm.call("inspect", box.name)["State"]["Pid"] for box in boxes if box.runs]
assert len(pids) == len({*pids})
in_threads(THREADS, lambda thread: [box.rm() for box in boxes[thread::THREADS] if box.there])
warm.call("network_rm", "lab")
warm.call("network_rm", "other")
warm.close()
print(children())
"""


def test_one_process_with_threads_does_many_things_and_stays_what_it_was(
    docker: Containers, sandbox: Sandbox
) -> None:
    """Namespaces, descriptors, children, memory, handlers, umask, directory and environment are
    the same afterwards, and each of 20 containers is what it should be."""
    seed = os.environ.get("MYDOCKER_TEST_SEED") or secrets.token_hex(4)
    print("MYDOCKER_TEST_SEED", seed)
    many = str(125 * ROUNDS)
    done = embedding(sandbox, WARM + MANY, seed, many, seconds=60 + 60 * ROUNDS)
    names = docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    docker("rmi", *(name for name in names if name.startswith("box")), code=None)
    assert (done.stdout, done.stderr) == ("{}\n[]\n", "")


def test_either_side_may_be_killed_and_the_next_call_mends_it(
    docker: Containers, sandbox: Sandbox
) -> None:
    done = embedding(
        sandbox,
        WARM
        + """
warm.call("create", asked("box", "--net", "none", "busybox", "sleep", "1000"))
first = warm.pid
os.kill(first, signal.SIGKILL)
warm.call("start", "box")
print(warm.pid != first, children() == [str(warm.pid)])
in_threads(8, lambda number: os.kill(warm.pid, signal.SIGKILL) if number == 4 else warm.call("pid"))
print(warm.call("inspect", "box")["State"]["Running"])

# A worker in the middle of its work
reader, writer = os.pipe()
failures = []
def sleep():
    try:
        warm.call("exec", "box", {"arguments": ["sh", "-c", "echo here; exec sleep 1000"]},
                  streams=[0, writer, 2])
    except Failure as failure:
        failures.append(str(failure))
thread = threading.Thread(target=sleep)
thread.start()
os.read(reader, 10)
worker = open(f"/proc/{warm.pid}/task/{warm.pid}/children").read().split()[0]
os.kill(int(worker), signal.SIGKILL)
thread.join()
print(failures)
sleepers = "ps -o args | grep -c '^sleep 1000'"
eventually(lambda: inside("box", sleepers)[0] == "1\\n", "its command ends with it")

# The program: nobody is left but the container
last = warm.pid
print(last, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    lines = done.stdout.splitlines()
    told = "exec: the worker that did it was killed. The next command on the same thing mends what"
    assert lines[:-1] == ["True True", "True", f"['{told} it left']"], done.stderr
    assert docker.get("box", "{{.State.Running}}") == "true"
    # What was the worker's command is our orphan, and a container waits for the last of its own.
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    docker("rm", "-f", "box")
    # And that the warm process ended by itself, the host contract sees.


def test_a_request_carries_all_that_a_worker_knows(docker: Containers, sandbox: Sandbox) -> None:
    """The warm process reads no environment; errors arrive as what they are, and sockets too."""
    done = embedding(
        sandbox,
        WARM
        + """
warm.call("pid")
print(open(f"/proc/{warm.pid}/environ").read() == "")
other = Warm(store.root + "2", store.run + "2")
for operation, arguments in (("stop", ["box"]), ("volume_rm", ["data"]), ("nonsense", [])):
    try:
        other.call(operation, *arguments)
    except Failure as failure:
        print(type(failure).__name__, f"({failure.kind})", failure)
warm.call("create", asked("box", "--net", "none", "busybox", "sh", "-c", "echo $HOME; sleep 1000"))
socket = warm.call("start_attached", "box")
print(socket.recv(100))
socket.close()
warm.call("rm", "box", force=True)
warm.close()
warm.close()
other.close()
""",
    )
    assert done.stdout.splitlines() == [
        "True",
        "NoSuchContainer (not found) No such container: box",
        "NoSuchVolume (not found) get data: no such volume",
        "Failure (failed) the warm process knows no operation nonsense",
        "b'o/root\\n'",
    ], done.stderr
    assert done.stderr == ""


def test_other_code_on_the_disk_is_what_serves_from_then_on(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """A copy of the steps, into which an operation is written while the warm process is there."""
    steps = tmp_path / "steps"
    shutil.copytree(sandbox.steps, steps, ignore=shutil.ignore_patterns("__pycache__"))
    operations = steps / "05-cli/mydocker/engine/warm/operations.py"
    done = embedding(
        sandbox,
        WARM
        + """
def ask():
    try:
        return warm.call("sum", 40, 2)
    except Failure as failure:
        return str(failure)

sys.path[:] = [entry.replace(*sys.argv[3:5]) for entry in sys.path]
print(ask(), ask())
first, operations = warm.pid, sys.argv[5]

def write(text, how):
    with open(operations) as file:
        was = os.stat(operations), file.read()
    with open(f"{operations}.new" if how == "replaced" else operations, "w") as file:
        file.write(was[1] + text)
    if how == "replaced":
        os.utime(file.name, ns=(was[0].st_atime_ns, was[0].st_mtime_ns))
        os.rename(file.name, operations)

write("OPERATIONS['sum'] = lambda store, one, other: one + other\\n", "written")
in_threads(4, lambda number: print(ask()))
second = warm.pid
write("OPERATIONS['sum'] = lambda store, one, other: one * other\\n", "replaced")
print(ask(), ask(), len({first, second, warm.pid}), children() == [str(warm.pid)])
last = warm.pid
open(operations.replace("operations.py", "another.py"), "w").close()
print(ask(), warm.pid == last)
warm.close()
""",
        *map(str, (sandbox.steps, steps, operations)),
    )
    no = "the warm process knows no operation sum"
    assert done.stdout.splitlines() == [f"{no} {no}", *["42"] * 4, "80 80 3 True", "80 True"], (
        done.stderr
    )
