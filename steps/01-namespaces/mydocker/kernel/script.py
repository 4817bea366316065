"""``--explain=script``: the same container, built by a shell script with the usual commands alone.

The events of a run tell everything that was asked of the kernel; this module puts the shell
equivalent of each into the place where a script must have it:

* what the host did before the process existed comes first;
* clone3(2) becomes unshare(1), which starts a second shell, and that one waits, as our child does;
* what the host did while the process waited, with the process's pid in a variable; then "go";
* what the process did inside is the second shell's text. It is busybox's, whose commands are built
in:
  after pivot_root(2) there is no other ``mount`` to call. A request that changes what the shell
  itself is (its user, its cgroup namespace) begins a new stage: a program such as setpriv(1) that
  makes the request and then starts the shell again;
* what the host undid afterwards is done when the script ends, however it ends.

The container's id, 64 digits in nearly each line, is said once, in the head; then it is ``$id``.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import TextIO

from mydocker.kernel import programs, shell, syscalls
from mydocker.kernel.errors import KernelError
from mydocker.kernel.trace import CONTAINER, Event


class Script:
    """A listener that collects events, and writes the script when the run is over."""

    def __init__(self) -> None:
        self._before: list[str] = []
        self._attach: list[str] = []
        self._stages: list[list[str]] = [[]]
        self._release: list[str] = []
        self._unshare: list[str] = []
        self._wrap: list[str] = []
        self._command = ""
        self._pid = 0
        self._identity: list[str] = []
        self._pivoted = False

    def __call__(self, event: Event) -> None:
        if event.error and not (event.call == "ip" and self._command):
            # It was refused, and the run went on without it. But not a batch that removes links:
            # it ended at one that was gone already, after others that were not.
            return
        if event.side == CONTAINER:
            self._inside(event)
        elif event.call == "clone3":
            self._pid = int(str(event.result))
            flags = int(str(event.arguments[0]))
            self._unshare = shell.namespace_options(flags)
            for group in event.arguments[1:]:
                self._stages[0] += [
                    f"# {event.why}, in its group",
                    f"echo 0 > {group}/cgroup.procs",
                ]
        else:
            self._on_host(event)

    def _on_host(self, event: Event) -> None:
        if event.call == "fork":
            return  # the script itself stays beside the container: it has no need of a monitor
        lines = [f"# {event.why}"] if event.why else []
        lines += self._with_pid(event)
        if not self._pid:
            self._before += lines
        elif not self._command:
            self._attach += lines
        elif event.call != "pidfd_send_signal":  # signals are not how it is built
            # -force: a link that went with its namespace must not keep the others from going
            self._release += [line.replace("ip -batch", "ip -force -batch") for line in lines]

    def _with_pid(self, event: Event) -> list[str]:
        """The lines of a host's event, the process's pid replaced by the script's variable."""
        text, pid = shell.line(event), self._pid
        if event.call == "mkdir":  # what the first container ever made is there for the script
            text = text.replace("mkdir ", "mkdir -p ", 1)
        if not pid:
            return [text]
        text = re.sub(rf"/proc/{pid}/(\S+)", r'"/proc/$pid/\1"', text)
        text = re.sub(rf"^echo {pid} >", 'echo "$pid" >', text)
        text = re.sub(rf"\bnetns {pid}\b", "netns $pid", text)
        return [text]

    def _inside(self, event: Event) -> None:
        if event.call == "execve":
            self._end(event)
        elif event.call in _IDENTITY:
            self._identity += _IDENTITY[event.call](*event.arguments)
        elif event.call == "unshare":
            self._flush_identity()
            flags = int(str(event.arguments[0]))
            self._start_stage(f"unshare {' '.join(shell.namespace_options(flags))}", event.why)
        elif event.call == "write" and event.arguments[0] == "/proc/self/timens_offsets":
            self._add_clock(str(event.arguments[1]))
        elif event.call == "setns":
            self._start_stage(shell.line(event).removesuffix(" COMMAND"), event.why)
        elif event.call in ("prctl", "setsid", "fork") or event.arguments[:1] == ("TIOCSCTTY",):
            self._wrapper(event)
        elif event.call in _CONFINING:
            # An image has no program for it, and before pivot_root we need what it takes away
            self._stages[-1].append(f"# not done here: {shell.line(event)}")
        else:
            self._flush_identity()
            self._pivoted = self._pivoted or event.call == "pivot_root"
            self._stages[-1] += [f"# {event.why}"] if event.why else []
            self._stages[-1].append(self._whole_program(event))

    def _whole_program(self, event: Event) -> str:
        """The line for a request inside; busybox's own ip can do less than the real one."""
        text = shell.line(event)
        if event.call in ("ip", "nft"):
            text = text.replace(event.call, programs.find(event.call), 1)
        return text

    def _wrapper(self, event: Event) -> None:
        """A request whose place in a script is around the command."""
        if event.arguments[:1] == ("TIOCSCTTY",):
            return  # the script's command has the reader's own terminal
        if event.call == "setsid":
            self._wrap.append("setsid")
        elif event.arguments[:1] == (syscalls.PR_SET_NO_NEW_PRIVS,):
            self._wrap.append(shell.line(event).removesuffix(" COMMAND"))

    def _add_clock(self, offset: str) -> None:
        """``boottime 3600 0`` becomes an option of the unshare(1) that makes the time namespace."""
        clock, seconds, _ = offset.split()
        stage = self._stages[-2]
        stage[-1] = stage[-1].replace("unshare --time", f"unshare --time --{clock}={seconds}")

    def _start_stage(self, program: str, why: str) -> None:
        number = len(self._stages) + 1
        # By its path: busybox has commands of these names too, and they can do less.
        line = f'exec /usr/bin/{program} busybox sh "$work/inside-{number}"'
        self._stages[-1] += [f"# {why}", line]
        self._stages.append([])

    def _flush_identity(self) -> None:
        if self._identity and not self._pivoted:  # inside an image there is no setpriv: see _end
            program, self._identity = f"setpriv {' '.join(self._identity)}", []
            self._start_stage(program, "become that user; the rest runs as it")

    def _end(self, event: Event) -> None:
        _, arguments, environment = event.arguments
        assert isinstance(arguments, list) and isinstance(environment, dict)
        if self._identity:
            lost = f"# setpriv {' '.join(self._identity)}: an image has no setpriv(1), so not done"
            self._stages[-1].append(lost)
        variables = [shell.word(f"{name}={value}") for name, value in environment.items()]
        words = [shell.word(str(argument)) for argument in arguments]
        self._stages[-1] += [f"# {event.why}"]
        self._command = " ".join(["exec", *self._wrap, "env", "-i", *variables, *words])
        self._stages[-1].append(self._command)

    def text(self) -> str:
        """The script."""
        lists = [self._before, self._attach, self._release, *self._stages]
        own = _most_said(lists)
        before, attach, release, *inside = (
            [with_variable(line, own) for line in lines] if own else lines for lines in lists
        )
        named = [f"id={own}  # the container's", "export id"] if own else []
        stages = []
        for number, lines in enumerate(inside, 1):
            stages += [f"cat > \"$work/inside-{number}\" <<'INSIDE'"]
            stages += ["set -eu", *(['read -r go < "$work/go"'] if number == 1 else []), *lines]
            stages += ["INSIDE", ""]
        unshare = " ".join(["unshare", *self._unshare, *self._keep_capabilities()])
        return "\n".join(
            [
                *_HEAD,
                *named,
                *_cleanup(release),
                "# -------- the host, before the process exists",
                *before,
                "",
                "# -------- inside: what the process will do",
                *stages,
                "# -------- the process: it waits until the host has attached everything to it",
                'mkfifo "$work/go"',
                f'{unshare} --fork --kill-child busybox sh "$work/inside-1" <&3 &',
                "tries=0",
                'until pid=$(cat "/proc/$!/task/$!/children") && [ -n "$pid" ]; do',
                "    tries=$((tries + 1)); [ $tries -lt 500 ]; sleep 0.01",
                "done",
                "pid=${pid% }",
                "",
                "# -------- the host, while the process waits",
                *attach,
                'echo go > "$work/go"',
                "wait $! && status=0 || status=$?",
                "exit $status",
                "",
            ]
        )

    def _keep_capabilities(self) -> list[str]:
        # Its ids are mapped only later, by the host: until then the shell keeps its rights this
        # way.
        return ["--keep-caps"] if "--user" in self._unshare else []

    def write(self, path: str, stream: TextIO) -> None:
        """Write the script to the file ``path``, or for "" to ``stream``."""
        if not self._command:
            return
        if path:
            try:
                with open(path, "w") as file:
                    file.write(self.text())
            except OSError as error:
                raise KernelError("open", (path,), error.errno or 0) from None
        else:
            stream.write(self.text())


def _cleanup(release: list[str]) -> list[str]:
    # Not indented: the END of a batch must begin its line
    begin, end = ["cleanup() {", "set +e"], ['rm -rf "$work"', "}", "trap cleanup EXIT", ""]
    return [*begin, *release, *end]


def _most_said(lists: list[list[str]]) -> str:
    """The id that is said most often: that of the container. Empty if none is said twice.

    Those of its image, of a neighbour whose network it shares, are said once or twice.
    """
    said = Counter(found for lines in lists for line in lines for found in _ID.findall(line))
    return next((found for found, times in said.most_common(1) if times > 1), "")


def with_variable(text: str, own: str) -> str:
    """The shell text with ``$id`` in place of the id ``own``, which the shell puts in again.

    In single quotes it would not: they are closed for it. A comment, and what a command is given
    by ``<<END``, may have a single apostrophe, which quotes nothing.
    """

    def name(found: re.Match[str]) -> str:
        piece = found.group()
        return piece.replace(own, "'\"$id\"'" if piece.startswith("'") else "$id")

    return re.sub(rf"{_PIECE}|{own}", name, text)


_ID = re.compile(r"\b[0-9a-f]{64}\b")
# A batch, a comment, or a text in quotes
_PIECE = r"(?ms:<<END\n.*?^END$)|(?m:(?:^|(?<=\s))#.*$)|'[^']*'|\"[^\"]*\""

# What takes powers from a process for good
_CONFINING = ("capset", "keyctl", "seccomp", "setrlimit")
_IDENTITY: dict[str, Callable[..., list[str]]] = {
    "setresuid": lambda ruid, euid, suid: [f"--reuid={euid}"],
    "setresgid": lambda rgid, egid, sgid: [f"--regid={egid}", "--keep-groups"],
    "setgroups": lambda *groups: [
        f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    ],
}

_HEAD = """\
#!/bin/sh
# Written by mydocker --explain=script: builds the same container with shell commands alone.
# Run it as root. It needs util-linux, busybox-static and, for networks, iproute2 and nftables.
set -eu
work=$(mktemp -d)
export work
chmod 755 "$work"  # the container's root may be another user than you
exec 3<&0  # the shell gives /dev/null to what runs in the background; the command wants our input
""".splitlines()
