"""What the engine will not do, in Docker's words."""

from mydocker.kernel.errors import Conflict, NotFound


class NoSuchContainer(NotFound):
    """No container has this name or id."""

    def __init__(self, word: str) -> None:
        super().__init__(f"No such container: {word}")


class NameTaken(Conflict):
    """Another container has the name already."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(
            f'Conflict. The container name "/{name}" is already in use by container "{owner}"',
            "You have to remove (or rename) that container to be able to reuse that name",
        )


class NotRunning(Conflict):
    """The container is there, and does not run."""

    def __init__(self, identifier: str) -> None:
        super().__init__(f"Container {identifier} is not running")
