"""Grade the submissions of a class: each is judged anew, by our tests and our steps.

Of a submission only the regions of the exercises are used. What else was changed has no effect, and
is not passed over in silence either: the submission is refused, unless the teacher accepts it.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mydocker.kernel.errors import Failure
from mydocker.kernel.records import field, record, replace
from mydocker.labs import copies, verdicts
from mydocker.labs.copies import Progress
from mydocker.labs.judging import Suite
from mydocker.labs.manifest import Course, Exercise
from mydocker.labs.regions import bodies, marked
from mydocker.labs.verdicts import Judge, Verdict

_CUT = (
    "it was cut from another version of this repository, so some of that may be no change of the"
    " student's: grade with the version that was handed out"
)


@record
class Grade:
    """Of one submission. ``refused`` says what was changed that may not be; ``seed`` gives the same
    random values again; ``seconds`` is how long it took; ``progress`` is what the copy has noted
    of the student's way, as far as it can be believed."""

    student: str
    directory: str
    step: int
    exercises: tuple[Exercise, ...]
    verdicts: tuple[Verdict, ...]
    refused: tuple[str, ...]
    seed: str
    seconds: float
    progress: Mapping[str, Progress] = field(default_factory=dict)

    @property
    def points(self) -> int:
        """The points reached: none if it was refused."""
        return 0 if self.refused else verdicts.points(self.verdicts)

    @property
    def most(self) -> int:
        """The points that there are."""
        return sum(exercise.points for exercise in self.exercises)


def grade(
    course: Course,
    suite: Suite,
    directories: Iterable[str],
    *,
    step: int | None = None,
    seed: str,
    accept: bool = False,
) -> Iterator[Grade]:
    """The grade of each submission, as soon as it is known.

    ``step`` says which lab it is, else the record in the submission does. ``seed``: from it and the
    student's name come the random values that are planted. ``accept``: do not refuse what was
    changed. One that cannot be read is refused, and the others are graded.
    Raises Failure if none is a submission.
    """
    found = [(directory, _found(directory, step)) for directory in directories]
    labs = [one[1] for _, one in found if not isinstance(one, Failure)]
    for directory, one in found:
        student = os.path.basename(os.path.abspath(directory))
        own = own_seed(seed, student)
        if not isinstance(one, Failure):
            yield _grade(course, suite, student, *one, own, accept)
        elif labs:
            exercises = course.of_step(labs[0])
            yield Grade(student, directory, labs[0], exercises, (), (str(one),), own, 0.0)
        else:
            raise one


def _found(directory: str, step: int | None) -> tuple[str, int] | Failure:
    """Where a submission's steps are, and for which lab it is; or why it is none."""
    try:
        place = _place(directory)
        return place, _lab(place, step)
    except Failure as error:
        return error


def _lab(place: str, step: int | None) -> int:
    """Which lab it is. A copy of another lab has our own solutions of this one in it."""
    if not os.path.exists(os.path.join(place, copies.RECORD)) and step is not None:
        return step
    own = copies.read(place).step
    if step not in (None, own):
        raise Failure(f"{place} is a copy for lab {own:02d}", f"Grade it by --lab {own:02d}")
    return own


def own_seed(seed: str, student: str) -> str:
    """A student's seed: nobody has the values of another."""
    return hashlib.sha256(f"{seed}:{student}".encode()).hexdigest()[:16]


def _place(directory: str) -> str:
    """Where the steps are: in ``directory``, or in its only folder, as archives are unpacked."""
    if not os.path.isdir(directory):
        raise Failure(f"{directory}: is no directory", "Name the folders of the submissions")
    inner = [entry.path for entry in os.scandir(directory) if entry.is_dir()]
    for place in (directory, *(inner if len(inner) == 1 else [])):
        if os.path.exists(os.path.join(place, "steps", "layers.py")):
            return os.path.abspath(place)
    raise Failure(f"{directory}: has no steps/", "A submission is a folder from lab start")


def _grade(
    course: Course, suite: Suite, student: str, place: str, step: int, seed: str, accept: bool
) -> Grade:
    began = time.monotonic()
    exercises = course.of_step(step)
    refused = () if accept else tuple(copies.changes(place, suite.repository))
    found: Sequence[Verdict] = ()
    try:
        theirs = {} if refused else bodies(marked(os.path.join(place, "steps")))
    except Failure as error:  # its exercises cannot be told from the rest
        refused = (str(error),)
    copy = copies.read(place) if os.path.exists(os.path.join(place, copies.RECORD)) else None
    if refused and copy and copy.version != copies.version(suite.repository):
        refused = (*refused, _CUT)
    if not refused:
        found = Judge(replace(suite, seed=seed)).judge(exercises, theirs)
    seconds = time.monotonic() - began
    progress = copy.progress if copy else {}
    return Grade(
        student, place, step, exercises, tuple(found), refused, seed, round(seconds, 1), progress
    )
