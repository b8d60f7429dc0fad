"""What the steps of a cycle hand to each other, and leave as JSON in its folder.

Points are hundredths; names that end in ``_95`` are 95% intervals of what is named before.
"""

from pydantic import Field

from models.statistics.intervals import Interval
from trainer.retrain.cycle_folder import CycleRecord
from worker.catalogue_diff.figures import CatalogueFigures

__all__ = [
    "Automatic",
    "Automation",
    "Calibration",
    "CatalogueDiff",
    "Check",
    "ClassComparison",
    "Collected",
    "Comparison",
    "Correction",
    "Footprint",
    "TestChange",
    "Verdict",
]


class Correction(CycleRecord):
    """What became of a reviewer's correction in this cycle.

    Attributes:
        image: the photo's path as ``dataset.csv`` writes it, or the SHA-256 of its bytes where nobody knows a path.
        was: its label before; None for a new photo.
        outcome: ``applied``, ``added`` (a new photo), ``agrees`` (it had that label already), ``conflict`` (reviewers
            disagree; left out), ``dropped`` (the class is labelled no more) or ``not_found`` (nobody has that photo).
    """

    image: str
    label: str
    was: str | None
    reviewer: str
    outcome: str


class Collected(CycleRecord):
    """What a cycle learns from (``collected.json``; the photos are in ``dataset.csv``).

    Attributes:
        fingerprint: of all photos, labels and products; equal ones have nothing new between them.
        photos: how many, by class.
        new, gone, relabeled: photos that the cycle before did not know, that are not there any more, or whose label was
            another.
        dropped: photos left out, since their class is labelled no more, by class.
        ahead: a sentence on votes that do not count, since they are dated in the future; mostly empty.
    """

    fingerprint: str
    photos: dict[str, int]
    new: int
    gone: int
    relabeled: int
    corrections: tuple[Correction, ...] = ()
    dropped: dict[str, int] = Field(default_factory=dict)
    ahead: str = ""


class ClassComparison(CycleRecord):
    """The recall of one class on the frozen test split; of a new class there is only the challenger's.

    Attributes:
        won, lost: photos that only the challenger, or only the champion, labels right.
        points: challenger's recall less the champion's.
    """

    photos: int
    champion: float | None = None
    challenger: float
    won: int = 0
    lost: int = 0
    points: float | None = None
    points_95: Interval | None = None


class Calibration(CycleRecord):
    """Expected calibration errors on the photos that both know, and the interval of challenger's less champion's."""

    champion: float
    challenger: float
    difference_95: Interval


class Automatic(CycleRecord):
    """Photos that a model labels without a person, how many of these labels are wrong, and the share that is right."""

    photos: int
    wrong: int
    right_95: Interval


class Automation(CycleRecord):
    """What both label by themselves.

    Attributes:
        champion_precision: how often the champion is to be right where it does so, by its own choice; None if it
            promises nothing, and for a first model.
        challenger_precision: what the champion promises, where the challenger can promise that too.
        own_precision: what the challenger promises by its own choice, which jobs get that ask for nothing else.
        champion, challenger, own: on photos of classes that both know; ``own`` is the challenger by its own choice.
        everywhere: the challenger on all test photos, those of new classes too.
        points: photos that the challenger labels by itself less those that the champion does.
    """

    champion_precision: float | None = None
    challenger_precision: float | None
    own_precision: float | None
    champion: Automatic | None = None
    challenger: Automatic
    own: Automatic
    everywhere: Automatic
    points: float | None = None
    points_95: Interval | None = None


class Footprint(CycleRecord):
    """The default model's size and speed on this machine, each measured in turns with the other's."""

    bytes: int
    images_per_s: float


class TestChange(CycleRecord):
    """A test photo that one of both labels right and the other wrong."""

    image: str
    sha256: str
    truth: str
    champion: str
    champion_confidence: float
    challenger: str
    challenger_confidence: float


class Comparison(CycleRecord):
    """Champion and challenger on the same frozen test split (``comparison.json``).

    Attributes:
        champion, challenger: such as ``shop@3``; a first model has no champion.
        photos: test photos of classes that both know.
        champion_accuracy, challenger_accuracy, won, lost, points: on these; see :class:`ClassComparison`.
        smallest_points: the smallest difference that a test of this many photos would find in four of five cases.
        challenger_all, all_photos: challenger's accuracy on all test photos, those of new classes too.
        new_classes: names that the champion does not know.
        vanished: names that the champion knows, the photos do not have, and the map does not explain.
        automation: none without photos.
        changes: the surest errors first; at most 200.
        unread: test photos that nobody is judged on, since they are gone, changed or cannot be read any more; among
            them are those that the champion was tested with and the data has not any more.
    """

    champion: str | None = None
    challenger: str
    photos: int
    champion_accuracy: float | None = None
    challenger_accuracy: float
    won: int = 0
    lost: int = 0
    points: float | None = None
    points_95: Interval | None = None
    smallest_points: float | None = None
    challenger_all: float
    all_photos: int
    classes: dict[str, ClassComparison]
    new_classes: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    calibration: Calibration | None = None
    automation: Automation | None = None
    champion_footprint: Footprint | None = None
    challenger_footprint: Footprint
    changes: tuple[TestChange, ...] = ()
    unread: int = 0


class Check(CycleRecord):
    """One thing that the gate looks at; docs/retraining.md has all of them.

    Attributes:
        sentence: what was measured and what the limit is, for people.
        doubtful: whether a person should look though nothing is refused; the sentence says why.
    """

    name: str
    passed: bool
    sentence: str
    doubtful: bool = False


class Verdict(CycleRecord):
    """What the gate says (``verdict.json``)."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the challenger may become the champion."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not, a sentence each."""
        return tuple(check.sentence for check in self.checks if not check.passed)


class CatalogueDiff(CatalogueFigures, frozen=True):
    """Champion and challenger on a sample of a catalogue's rows (``catalogue.json``)."""

    changed_share_95: Interval
