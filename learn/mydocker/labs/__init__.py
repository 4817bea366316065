"""Labs: exercises cut out of this very source, and judged by the suite that it already has.

=============  ==============================================================================
``manifest``   what course.toml says of each exercise: goal, points, tests, hints
``regions``    the marked pieces of the source: found, emptied, compared, put into another text
``copies``     the student's copy: cut, found again, reset, solved; and how far it came
``workplace``  the part of a container in which a student's code is tried: it reaches nothing else
``judging``    the suite is run there, under limits, and what it saw is read
``verdicts``   what that means for each exercise: passed, wrong, crashed, too slow; which hint
``grading``    a class's submissions: what was changed that may not be, points, seeds
``forms``      the grades as JSON, JUnit, CSV, for Gradescope and for GitHub Classroom
=============  ==============================================================================

Nothing is written twice: stub, solution, test and the excerpt in the book come from one place.
"""
