"""The last step into the command, from a program that nobody misses: a few bytes in memory.

If Python itself executed the command, then ``/proc/self/exe`` would be the host's ``python3`` at
that moment, and a command (or the ``#!`` line of a script) that says ``/proc/self/exe`` would run
it, as the container's own process. That process may open its own ``/proc/self/exe``, keep it open,
and write to it as soon as nobody runs Python any more: CVE-2019-5736, found in runc. A check before
the exec does not help ``exec``, where the container's processes can change the script after it.

So Python executes a tiny program first, which exists only in memory and is thrown away, and that
one executes the command: ``/proc/self/exe`` is then the tiny program. It does what this says::

    if (fcntl(3, F_SETFD, FD_CLOEXEC) == 0) {   // the channel to the host: a good exec closes it
        execve(argv[0], argv + 1, environ);
        write(3, answer[errno], …);             // the exec was refused: the error, as the host's
    }                                           // side of the channel reads it
    exit_group(126);

There is no channel when a script's ``#!/proc/self/exe`` runs the tiny program again: it would come
back to the script, and so on for ever. The answers are behind the code, for each errno its number,
its length, and the message.
"""

import errno
import os
import struct
from contextlib import suppress

from mydocker.container.channel import Channel
from mydocker.container.process import Answer, Process
from mydocker.kernel import syscalls
from mydocker.kernel.errors import NOT_EXECUTABLE, Invalid, KernelError
from mydocker.kernel.records import record

# Assembled from what stands beside it; a test does it again. After // is what it is good for.
_X86_64 = (
    "b848000000"  # mov eax, 72 // fcntl
    "bf03000000"  # mov edi, 3
    "be02000000"  # mov esi, 2 // F_SETFD
    "ba01000000"  # mov edx, 1 // FD_CLOEXEC
    "0f05"  # syscall
    "85c0"  # test eax, eax
    "7846"  # js end // there is no channel
    "488b0c24"  # mov rcx, [rsp] // argc
    "488b7c2408"  # mov rdi, [rsp+8] // argv[0]
    "488d742410"  # lea rsi, [rsp+16] // argv + 1
    "488d54cc10"  # lea rdx, [rsp+rcx*8+16] // environ
    "b83b000000"  # mov eax, 59 // execve
    "0f05"  # syscall // comes back only if it was refused, with -errno
    "f7d8"  # neg eax
    "488d352f000000"  # lea rsi, [rip + answers]
    "8b5604"  # next: mov edx, [rsi+4] // length
    "3906"  # cmp [rsi], eax // is it this errno?
    "740c"  # je send
    "833e00"  # cmp dword ptr [rsi], 0 // or the last, for all others?
    "7407"  # je send
    "488d741608"  # lea rsi, [rsi+rdx+8]
    "ebed"  # jmp next
    "4883c608"  # send: add rsi, 8
    "bf03000000"  # mov edi, 3
    "b801000000"  # mov eax, 1 // write
    "0f05"  # syscall
    "bf7e000000"  # end: mov edi, 126
    "b8e7000000"  # mov eax, 231 // exit_group
    "0f05"  # syscall
)
_AARCH64 = (
    "280380d2"  # mov x8, #25 // fcntl
    "600080d2"  # mov x0, #3
    "410080d2"  # mov x1, #2 // F_SETFD
    "220080d2"  # mov x2, #1 // FD_CLOEXEC
    "010000d4"  # svc #0
    "4002f837"  # tbnz w0, #31, end // there is no channel
    "e40340f9"  # ldr x4, [sp] // argc
    "e00740f9"  # ldr x0, [sp, #8] // argv[0]
    "e1430091"  # add x1, sp, #16 // argv + 1
    "220c048b"  # add x2, x1, x4, lsl #3 // environ
    "a81b80d2"  # mov x8, #221 // execve
    "010000d4"  # svc #0
    "e503004b"  # neg w5, w0
    "a1010010"  # adr x1, answers
    "2308c128"  # next: ldp w3, w2, [x1], #8 // errno, length
    "7f00056b"  # cmp w3, w5
    "80000054"  # b.eq send
    "63000034"  # cbz w3, send
    "2100028b"  # add x1, x1, x2
    "fbffff17"  # b next
    "600080d2"  # send: mov x0, #3
    "080880d2"  # mov x8, #64 // write
    "010000d4"  # svc #0
    "c00f80d2"  # end: mov x0, #126
    "c80b80d2"  # mov x8, #94 // exit_group
    "010000d4"  # svc #0
)
_MACHINES = {"x86_64": (62, _X86_64), "aarch64": (183, _AARCH64)}  # EM_X86_64, EM_AARCH64

_ADDRESS = 0x400000
CHANNEL = 3
# The refusals that say something of their own; the last answer, for errno 0, is for all others.
_ANSWERED = (
    errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.E2BIG, errno.ETXTBSY,
    errno.EPERM, errno.ENOMEM, errno.ELOOP, errno.EISDIR, errno.ELIBBAD, errno.EINVAL,
)  # fmt: skip
_OTHERWISE = errno.EIO


def program(machine: str, answer: Answer, channel: int = CHANNEL) -> bytes:
    """The tiny program as an ELF file (elf(5)), with the ``answer`` to each errno in it."""
    kind, code = _MACHINES[machine]
    if channel != CHANNEL:
        code = code.replace(*_with_channel(machine, channel))
    told = [(number, answer(number)) for number in _ANSWERED] + [(0, answer(_OTHERWISE))]
    answers = b"".join(struct.pack("=II", number, len(text)) + text for number, text in told)
    body = bytes.fromhex(code) + answers
    headers = 64 + 2 * 56
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64 bits, little-endian
    header = struct.pack(
        "=16sHHIQQQIHHHHHH", identity, 2, kind, 1, _ADDRESS + headers, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    size = headers + len(body)
    load = struct.pack("=IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 0x1000)
    stack = struct.pack("=IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # not executable
    return header + load + stack + body


def _with_channel(machine: str, channel: int) -> tuple[str, str]:
    """The instruction that names the channel, in both of its places, and the same with another."""
    if machine == "x86_64":
        return "bf03000000", f"bf{channel.to_bytes(4, 'little').hex()}"  # mov edi, N
    if not 0 <= channel < 1 << 16:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    word = 0xD2800000 | channel << 5  # mov x0, #N
    return "600080d2", word.to_bytes(4, "little").hex()


@record
class Trampolined(Process):
    """A process that becomes its command by way of the tiny program."""

    def execute(
        self, path: str, environment: dict[str, str], channel: Channel, answer: Answer
    ) -> None:
        become(path, self.arguments, environment, channel, answer)


def become(
    path: str,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    channel: Channel,
    answer: Answer,
    descriptor: int = CHANNEL,
) -> None:
    """Become the command, by way of the tiny program. Returns if that cannot be executed here.

    ``descriptor`` is the number that the channel gets: those below it are the command's.

    As where memory may not be executed (vm.memfd_noexec), or a seccomp profile does not allow it.
    Raises Failure for a command that is a file of this very process, as ``/proc/self/exe``.
    """
    if _leads_to_open_file(path):
        hint = "Name the command by its own path"
        raise Invalid(f'exec: "{path}": leads through a link of /proc', hint, NOT_EXECUTABLE)
    try:
        fd = _in_memory(answer, descriptor)
        if fd < 0:
            return
        os.dup2(channel.fileno(), descriptor, inheritable=True)
        syscalls.execve(path, arguments, environment, through=fd, why="become the command")
    except OSError:  # whichever of its calls the profile refuses
        with suppress(OSError):
            os.set_inheritable(descriptor, False)  # the command may not have it


def _leads_to_open_file(path: str) -> bool:
    """True for what a program of this process's own is reached by, and no other way leads to."""
    flags, resolve = os.O_PATH, syscalls.RESOLVE_NO_MAGICLINKS
    try:
        os.close(syscalls.openat2(syscalls.AT_FDCWD, path, flags, resolve))
    except KernelError as error:
        return error.errno == errno.ELOOP
    return False


def _in_memory(answer: Answer, channel: int) -> int:
    """A descriptor of the tiny program; -1 on a machine that we have none for. Raises OSError."""
    machine = os.uname().machine
    if machine not in _MACHINES:
        return -1
    fd = os.memfd_create("command", os.MFD_CLOEXEC)
    if fd == channel:
        fd = os.dup(fd)
    os.write(fd, program(machine, answer, channel))
    return fd
