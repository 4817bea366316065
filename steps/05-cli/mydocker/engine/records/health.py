"""What the tests of a container's health have found: ``containers/<id>/health.json``.

It is written after each test, by who makes it (``life.probing``), and holds for one run of the
container only: that which began at ``started``. Nothing waits for the disk, and nothing depends on
it: without the file a container is one whose first test is still to come.
"""

from typing import Any

from mydocker.engine.records.config import Config
from mydocker.engine.records.state import RUNNING, State
from mydocker.engine.records.store import Store
from mydocker.engine.words.times import NEVER, number
from mydocker.kernel import whole
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import alike, asdict, fromdict, record, replace
from mydocker.overlay2.healthcheck import Healthcheck

NONE, STARTING, HEALTHY, UNHEALTHY = "none", "starting", "healthy", "unhealthy"
STATUSES = (NONE, STARTING, HEALTHY, UNHEALTHY)
_KEPT = 5  # results
NOT_IN_TIME = -1  # the exit code of a test that did not end, or could not begin


@record
class Result:
    """One test: when it began and ended, how, and what it wrote."""

    start: str
    end: str
    exit_code: int
    output: str


@record
class Health:
    """``failing_streak``: how many tests have failed since the last that did not."""

    started: str = NEVER
    status: str = STARTING
    failing_streak: int = 0
    log: tuple[Result, ...] = ()

    @property
    def words(self) -> str:
        """As ``ps`` shows it."""
        return f"health: {self.status}" if self.status == STARTING else self.status

    def after(self, result: Result, check: Healthcheck) -> "Health":
        """With one more test. ``check`` has its defaults.

        A container that was never healthy, and is still in its start period, may fail.
        """
        log = (*self.log, result)[-_KEPT:]
        if result.exit_code == 0:
            return replace(self, status=HEALTHY, failing_streak=0, log=log)
        ran = number(result.start) - number(self.started)
        if self.status == STARTING and ran < check.start_period:
            return replace(self, log=log)
        streak = self.failing_streak + 1
        status = UNHEALTHY if streak >= check.retries else self.status
        return replace(self, status=status, failing_streak=streak, log=log)


def check_of(config: Config) -> Healthcheck | None:
    """The container's test, with its defaults; None if it has none."""
    check = config.settings.healthcheck
    return check.with_defaults() if check is not None and check.arguments else None


def health_of(store: Store, config: Config, state: State) -> Health | None:
    """How a container is; None for one that is not tested, or never ran.

    One that does not run is not healthy, as in Docker.
    """
    if state.started == NEVER or check_of(config) is None:
        return None
    health = read(store, config.id, state.started)
    return health if state.status == RUNNING else replace(health, status=UNHEALTHY)


def _path(store: Store, identifier: str) -> str:
    return f"{store.directory(identifier)}/health.json"


def read(store: Store, identifier: str, started: str) -> Health:
    """What was found since ``started``; nothing yet, if the file is of another run, or damaged."""
    fresh = Health(started)
    try:
        told: Any = whole.read_json(_path(store, identifier))
        health = fromdict(Health, told) if told else fresh
    except (Failure, TypeError, ValueError):
        return fresh
    good = alike(health, fresh) and health.status in STATUSES and health.started == started
    return health if good else fresh


def note(store: Store, identifier: str, health: Health) -> None:
    """Write it down, whatever the disk says to that: the next test tells it again."""
    try:
        whole.write_json(_path(store, identifier), asdict(health), durable=False)
    except whole.NotWritten:
        return
