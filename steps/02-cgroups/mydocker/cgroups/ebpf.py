"""A small assembler for eBPF, enough to decide about devices (bpf(2); instruction-set.rst).

An instruction has 8 bytes: the operation, the registers that it writes to and reads from (4 bits
each), a signed 16-bit distance for jumps and loads, a signed 32-bit constant. The kernel checks the
program before it takes it: every way through must end, and r0 must hold the answer.

A program of type BPF_PROG_TYPE_CGROUP_DEVICE is called with r1 pointing to

    struct bpf_cgroup_dev_ctx {       /* <linux/bpf.h> */
        __u32 access_type;            /* (access << 16) | type */
        __u32 major;
        __u32 minor;
    };

and allows the access by 1, or refuses it by 0.
"""

import struct

from mydocker.kernel.records import record

# <linux/bpf_common.h>, <linux/bpf.h>: class | size, mode or operation | source of the operand
_LDX_W = 0x61  # BPF_LDX | BPF_MEM | BPF_W: load 32 bits
_MOV32_REG = 0xBC  # BPF_ALU | BPF_MOV | BPF_X
_MOV64_CONST = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_AND32 = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RSH32 = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_JNE_CONST = 0x55  # BPF_JMP | BPF_JNE | BPF_K: jump if not equal
_JNE_REG = 0x5D  # BPF_JMP | BPF_JNE | BPF_X
_EXIT = 0x95  # BPF_JMP | BPF_EXIT

_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, _CHAR
_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_MKNOD, _READ, _WRITE
_ALL = 7

# What our program keeps in which register
_ANSWER, _CONTEXT, _TYPE, _WANTED, _MAJOR, _MINOR, _SCRATCH = range(7)


@record
class Instruction:
    """One instruction; ``code()`` are its 8 bytes."""

    operation: int
    destination: int = 0
    source: int = 0
    distance: int = 0
    constant: int = 0

    def code(self) -> bytes:
        """As the kernel reads it, in the byte order of the machine."""
        registers = self.destination | self.source << 4
        constant = self.constant if self.constant < 1 << 31 else self.constant - (1 << 32)
        return struct.pack("=BBhi", self.operation, registers, self.distance, constant)


def device_filter(rules: tuple[str, ...]) -> bytes:
    """The program that allows what a rule (``c 1:3 rwm``) allows, and refuses the rest."""
    program = [
        Instruction(_LDX_W, _TYPE, _CONTEXT, 0),
        Instruction(_MOV32_REG, _WANTED, _TYPE),
        Instruction(_AND32, _TYPE, constant=0xFFFF),
        Instruction(_RSH32, _WANTED, constant=16),
        Instruction(_LDX_W, _MAJOR, _CONTEXT, 4),
        Instruction(_LDX_W, _MINOR, _CONTEXT, 8),
    ]
    for rule in rules:
        program += _allow(rule)
    program += [Instruction(_MOV64_CONST, _ANSWER, constant=0), Instruction(_EXIT)]
    return b"".join(instruction.code() for instruction in program)


def _allow(rule: str) -> list[Instruction]:
    """``if (type, number and access match) return 1;`` with the jumps to what comes after it."""
    kind, number, access = rule.split(" ")
    major, _, minor = number.partition(":")
    tests: list[Instruction] = []  # each jumps away if it fails; how far is known at the end
    if kind != "a":
        tests.append(Instruction(_JNE_CONST, _TYPE, constant=_TYPES[kind]))
    if major != "*":
        tests.append(Instruction(_JNE_CONST, _MAJOR, constant=int(major)))
    if minor != "*":
        tests.append(Instruction(_JNE_CONST, _MINOR, constant=int(minor)))
    allowed = sum(_ACCESS[letter] for letter in set(access))
    if allowed != _ALL:
        # All that is wanted must be allowed: (wanted & allowed) == wanted
        tests.append(Instruction(_MOV32_REG, _SCRATCH, _WANTED))
        tests.append(Instruction(_AND32, _SCRATCH, constant=allowed))
        tests.append(Instruction(_JNE_REG, _SCRATCH, _WANTED))
    yes = [Instruction(_MOV64_CONST, _ANSWER, constant=1), Instruction(_EXIT)]
    return [_aimed(test, len(tests) - at - 1 + len(yes)) for at, test in enumerate(tests)] + yes


def _aimed(test: Instruction, distance: int) -> Instruction:
    """A jump counts from the instruction after itself; what is no jump stays as it is."""
    if test.operation not in (_JNE_CONST, _JNE_REG):
        return test
    return Instruction(test.operation, test.destination, test.source, distance, test.constant)
