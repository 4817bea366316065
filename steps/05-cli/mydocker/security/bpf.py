"""From a seccomp profile to the program that the kernel runs before each system call.

Classic BPF (Documentation/networking/filter.rst, bpf(4) of the BSDs), a machine with one
accumulator A. An instruction has 8 bytes: an operation, two jump distances (if true, if false;
0 to 255 instructions forward, never back), a constant k. The program reads

    struct seccomp_data {             /* <linux/seccomp.h> */
        int nr;                       /*  0: number of the call */
        __u32 arch;                   /*  4: whose numbers, AUDIT_ARCH_* */
        __u64 instruction_pointer;    /*  8 */
        __u64 args[6];                /* 16 */
    };

32 bits at a time, and returns an action. It can read no memory: a path or a struct behind a pointer
stays unknown, which is why clone3(2), whose flags are in a struct, is refused as a whole.

Shape of our program: whose numbers are these; then the number is sought by halving, so that some
nine comparisons decide among all calls; at the end of each way is an action, or the conditions of
that call.
"""

import struct
from typing import NamedTuple

from mydocker.kernel.errors import Failure, Invalid
from mydocker.security.profile import ALLOW, ERRNO, KILL_PROCESS, LOG, Condition, Profile
from mydocker.security.syscall_numbers import MACHINES, numbers

# <linux/bpf_common.h>
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA: k instructions forward
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_JUMP_NOT_LESS = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_FARTHEST = 255
_LONGEST = 4096  # BPF_MAXINSNS

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # <linux/audit.h>
_X32 = 0x40000000  # __X32_SYSCALL_BIT: the same machine, with other numbers
_ENOSYS = 38

_YES, _NO = -1, -2  # labels in a condition, until it is known how far away they are


class Instruction(NamedTuple):
    """One instruction: ``code()`` are its 8 bytes."""

    operation: int
    constant: int
    true: int = 0
    false: int = 0

    def code(self) -> bytes:
        """As the kernel reads it, in the byte order of the machine."""
        return struct.pack("=HBBI", self.operation, self.true, self.false, self.constant)


Program = list[Instruction]


def compiled(profile: Profile, machine: str) -> bytes:
    """The program for ``profile``. Raises Failure for a machine whose numbers we do not know."""
    if machine not in MACHINES:
        hint = "Without a filter: --security-opt seccomp=unconfined"
        raise Failure(f"seccomp: the system calls of {machine} are not known here", hint)
    program = _whole(profile, machine)
    if len(program) > _LONGEST:
        raise Invalid(f"seccomp profile: too long, {len(program)} instructions", "At most 4096")
    return b"".join([instruction.code() for instruction in program])


def _whole(profile: Profile, machine: str) -> Program:
    known = numbers(machine)
    highest, unknown = max(known.values()), Instruction(_RETURN, ERRNO | _ENOSYS)
    program = [
        Instruction(_LOAD, _ARCHITECTURE),
        Instruction(_JUMP_EQUAL, _AUDIT_ARCH[machine], true=1),
        # 32-bit programs: their numbers mean other calls, which nobody has allowed
        Instruction(_RETURN, KILL_PROCESS),
        Instruction(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        program += [Instruction(_JUMP_NOT_LESS, _X32, false=1), unknown]
    if profile.default not in (ALLOW, LOG):
        # A call that is younger than our list does not exist here: a libc then uses the older one,
        # while "not permitted" would be the end of the program.
        program += [Instruction(_JUMP_GREATER, highest, false=1), unknown]
    return program + _search(_ranges(profile, known))


def _ranges(profile: Profile, known: dict[str, int]) -> list[tuple[int, Program]]:
    """``(first number, what to do)`` for neighbouring numbers of the same fate, from 0 upwards."""
    by_number: dict[int, Program] = {}
    decided: set[int] = set()
    for rule in profile.rules:
        answer = Instruction(_RETURN, rule.action)
        for number in [known[name] for name in rule.names if name in known]:
            if number in decided:
                continue
            by_number.setdefault(number, []).extend([*_conditions(rule.conditions), answer])
            if not rule.conditions:
                decided.add(number)
    otherwise = [Instruction(_RETURN, profile.default)]
    for number in by_number.keys() - decided:
        by_number[number] += otherwise
    ranges: list[tuple[int, Program]] = [(0, by_number.get(0, otherwise))]
    for number in range(1, max([*by_number, 0]) + 2):
        fate = by_number.get(number, otherwise)
        if fate != ranges[-1][1]:
            ranges.append((number, fate))
    return ranges


def _search(ranges: list[tuple[int, Program]]) -> Program:
    """Halve until one range is left; A holds the number."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    lower, upper = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(lower) <= _FARTHEST:
        return [Instruction(_JUMP_NOT_LESS, first, true=len(lower)), *lower, *upper]
    # Too far for a conditional jump: over an unconditional one, which has 32 bits for it
    far = Instruction(_JUMP, len(lower))
    return [Instruction(_JUMP_NOT_LESS, first, true=0, false=1), far, *lower, *upper]


def _conditions(conditions: tuple[Condition, ...]) -> Program:
    """Fall through to the next instruction if all hold, else jump over it."""
    program: Program = []
    for condition in reversed(conditions):
        part = _condition(condition)
        # NO is behind the action, which comes after the conditions
        no = len(part) + len(program) + 1
        program = [_aimed(i, at, len(part), no) for at, i in enumerate(part)] + program
    return program


def _aimed(instruction: Instruction, at: int, yes: int, no: int) -> Instruction:
    """The same with distances, which count from the instruction after it, for the labels."""
    aims = {_YES: yes - at - 1, _NO: no - at - 1}
    true, false = (aims.get(label, label) for label in (instruction.true, instruction.false))
    if max(true, false) > _FARTHEST:
        raise Invalid("seccomp profile: too many conditions in one rule")
    return instruction._replace(true=true, false=false)


def _condition(condition: Condition) -> Program:
    """Compare 64 bits in two halves, the upper first; both our machines are little-endian."""
    low = Instruction(_LOAD, _ARGUMENTS + 8 * condition.argument)
    high = Instruction(_LOAD, _ARGUMENTS + 8 * condition.argument + 4)
    upper, lower = condition.value >> 32, condition.value & 0xFFFFFFFF
    if condition.operator == "MASKED_EQ":
        wanted = condition.value_two
        return [
            high,
            Instruction(_AND, upper),
            Instruction(_JUMP_EQUAL, wanted >> 32, 0, _NO),
            low,
            Instruction(_AND, lower),
            Instruction(_JUMP_EQUAL, wanted & 0xFFFFFFFF, _YES, _NO),
        ]
    yes, no, operator = _YES, _NO, condition.operator
    if operator in ("NE", "LT", "LE"):  # the opposites of EQ, GE, GT
        yes, no = _NO, _YES
        operator = {"NE": "EQ", "LT": "GE", "LE": "GT"}[operator]
    if operator == "EQ":
        return [
            high,
            Instruction(_JUMP_EQUAL, upper, 0, no),
            low,
            Instruction(_JUMP_EQUAL, lower, yes, no),
        ]
    last = _JUMP_NOT_LESS if operator == "GE" else _JUMP_GREATER
    return [
        high,
        Instruction(_JUMP_GREATER, upper, yes, 0),
        Instruction(_JUMP_EQUAL, upper, 0, no),
        low,
        Instruction(last, lower, yes, no),
    ]
