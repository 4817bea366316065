"""The words of a mount's options, as mount(8) and the config.json of an OCI bundle have them.

Of a new filesystem they are flags and data of mount(2). Of a bind they are attributes of the one
mount (mount_setattr(2)), and for most there is a word with an ``r`` before it that means all that
is mounted below as well: ``ro`` and ``rro``.
"""

from collections.abc import Iterable

from mydocker.kernel import syscalls
from mydocker.kernel.records import record

# Words for mount(2)'s flags: the flag, and whether the word sets it or takes it away
FLAGS = {
    "ro": (syscalls.MS_RDONLY, True),
    "rw": (syscalls.MS_RDONLY, False),
    "nosuid": (syscalls.MS_NOSUID, True),
    "suid": (syscalls.MS_NOSUID, False),
    "nodev": (syscalls.MS_NODEV, True),
    "dev": (syscalls.MS_NODEV, False),
    "noexec": (syscalls.MS_NOEXEC, True),
    "exec": (syscalls.MS_NOEXEC, False),
    "noatime": (syscalls.MS_NOATIME, True),
    "atime": (syscalls.MS_NOATIME, False),
    "nodiratime": (syscalls.MS_NODIRATIME, True),
    "diratime": (syscalls.MS_NODIRATIME, False),
    "relatime": (syscalls.MS_RELATIME, True),
    "norelatime": (syscalls.MS_RELATIME, False),
    "strictatime": (syscalls.MS_STRICTATIME, True),
    "nostrictatime": (syscalls.MS_STRICTATIME, False),
    "sync": (syscalls.MS_SYNCHRONOUS, True),
    "async": (syscalls.MS_SYNCHRONOUS, False),
    "dirsync": (syscalls.MS_DIRSYNC, True),
    "defaults": (0, True),
}
# The same properties where they belong to one mount, and not to its filesystem: of a bind.
_ATTRIBUTES = {
    syscalls.MS_RDONLY: syscalls.MOUNT_ATTR_RDONLY,
    syscalls.MS_NOSUID: syscalls.MOUNT_ATTR_NOSUID,
    syscalls.MS_NODEV: syscalls.MOUNT_ATTR_NODEV,
    syscalls.MS_NOEXEC: syscalls.MOUNT_ATTR_NOEXEC,
    syscalls.MS_NOATIME: syscalls.MOUNT_ATTR_NOATIME,
    syscalls.MS_NODIRATIME: syscalls.MOUNT_ATTR_NODIRATIME,
    syscalls.MS_RELATIME: syscalls.MOUNT_ATTR_RELATIME,
    syscalls.MS_STRICTATIME: syscalls.MOUNT_ATTR_STRICTATIME,
}
PROPAGATION = {
    "private": syscalls.MS_PRIVATE,
    "slave": syscalls.MS_SLAVE,
    "shared": syscalls.MS_SHARED,
    "unbindable": syscalls.MS_UNBINDABLE,
}


@record
class Options:
    """What the words of a mount's options ask for.

    ``bind``: of another directory or file, ``recursive`` with all that is mounted below it.
    ``flags`` and ``data`` are mount(2)'s for a new filesystem. ``attributes`` are MOUNT_ATTR_* for
    the mount alone, ``recursive_attributes`` and ``recursive_cleared`` for those below it as well.
    ``propagation``: MS_SHARED and its like, with MS_REC for all; 0 for what it is.
    """

    bind: bool = False
    recursive: bool = False
    flags: int = 0
    data: str = ""
    attributes: int = 0
    recursive_attributes: int = 0
    recursive_cleared: int = 0
    propagation: int = 0

    @property
    def read_only(self) -> bool:
        """Can nothing be written to the bind?"""
        return bool((self.attributes | self.recursive_attributes) & syscalls.MOUNT_ATTR_RDONLY)

    @property
    def plain(self) -> bool:
        """Is a bind as its source is?"""
        return not self.changes

    @property
    def changes(self) -> list[tuple[int, int, int, int]]:
        """What mount_setattr(2) is to do with a bind: AT_RECURSIVE or 0, what it sets, what it
        clears, and the propagation."""
        below, none = syscalls.AT_RECURSIVE, (0, 0, 0)
        spread = below if self.propagation & syscalls.MS_REC else 0
        every = (
            (below, *_with_atime(self.recursive_attributes, self.recursive_cleared), 0),
            (0, *_with_atime(self.attributes, 0), 0),
            (spread, 0, 0, self.propagation & ~syscalls.MS_REC),
        )
        return [change for change in every if change[1:] != none]


def options_of(words: Iterable[str]) -> Options:
    """The meaning of the options of a mount; a later one wins.

    ``rro`` and its like are ``ro`` for all that is mounted below, too; what is none of mount(8)'s
    words goes to the filesystem, as ``size=64m``.
    """
    flags = propagation = recursive_flags = recursive_cleared = 0
    bind = recursive = False
    data = []
    for word in words:
        if word in ("bind", "rbind"):
            bind, recursive = True, word == "rbind"
        elif word in FLAGS:
            flag, wanted = FLAGS[word]
            flags = flags | flag if wanted else flags & ~flag
        elif word in PROPAGATION:
            propagation = PROPAGATION[word]
        elif word[:1] == "r" and word[1:] in PROPAGATION:
            propagation = PROPAGATION[word[1:]] | syscalls.MS_REC
        elif word[:1] == "r" and _attribute(word[1:]):
            flag, wanted = FLAGS[word[1:]]
            recursive_flags = recursive_flags | flag if wanted else recursive_flags & ~flag
            recursive_cleared = recursive_cleared & ~flag if wanted else recursive_cleared | flag
        elif word:
            data.append(word)
    return Options(
        bind, recursive, flags, ",".join(data), _attributes(flags) if bind else 0,
        _attributes(recursive_flags), _attributes(recursive_cleared), propagation,
    )  # fmt: skip


def _attribute(word: str) -> bool:
    return word in FLAGS and FLAGS[word][0] in _ATTRIBUTES


def _attributes(flags: int) -> int:
    return sum(attribute for flag, attribute in _ATTRIBUTES.items() if flags & flag)


def words_of(flags: int, data: str) -> tuple[str, ...]:
    """The options that mean these ``flags`` and ``data`` of mount(2)."""
    names = [word for word, (flag, wanted) in FLAGS.items() if wanted and flags & flag]
    return (*names, *filter(None, data.split(",")))


def _with_atime(attributes: int, cleared: int) -> tuple[int, int]:
    """The three kinds of access times are one number: to set one, the old one is cleared."""
    if attributes & syscalls.MOUNT_ATTR__ATIME:
        return attributes, cleared | syscalls.MOUNT_ATTR__ATIME
    return attributes, cleared & ~syscalls.MOUNT_ATTR__ATIME
