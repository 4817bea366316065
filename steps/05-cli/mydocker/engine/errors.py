"""What the engine refuses, in Docker's words.

Docker's client ends with 1 for these; ``run`` and ``create`` turn that into 125 for their users.
"""

from mydocker.kernel.errors import Failure

REFUSED = 1


class Refused(Failure):
    """The engine will not do what it was asked for."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, REFUSED)


class NoSuchContainer(Refused):
    """No container has this name or id."""

    def __init__(self, word: str) -> None:
        super().__init__(f"No such container: {word}")


class NameTaken(Refused):
    """Another container has the name already."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(
            f'Conflict. The container name "/{name}" is already in use by container "{owner}"',
            "You have to remove (or rename) that container to be able to reuse that name",
        )


class NotRunning(Refused):
    """The container is there, and does not run."""

    def __init__(self, identifier: str) -> None:
        super().__init__(f"Container {identifier} is not running")
