"""The records that a cycle's steps hand to each other, and leave as JSON in its folder.

Points are hundredths; a field ``x_95`` is the 95% interval of the field ``x``.
"""

from pydantic import Field

from models.statistics.intervals import Interval
from trainer.retrain.cycle_folder import CycleRecord
from worker.catalogue_diff import CatalogueFigures


class Correction(CycleRecord):
    """What became of a reviewer's correction in this cycle.

    Attributes:
        image: the photo's path as ``dataset.csv`` writes it, or the SHA-256 of its bytes if no path is known.
        was: its label before; None for a new photo.
        outcome: ``applied``, ``added``, ``agrees``, ``conflict``, ``dropped`` or ``not_found``.
    """

    image: str
    label: str
    was: str | None
    reviewer: str
    outcome: str


class Collected(CycleRecord):
    """What a cycle learns from (``collected.json``; the photos are in ``dataset.csv``).

    Attributes:
        fingerprint: of all photos, labels and products; if it is the same, nothing is new.
        outliers: how many show no product.
        new, gone, relabeled: photos compared with the cycle before.
        dropped: photos of classes that are labelled no more, by class.
        notes: sentences on how a table was read, and on photos that could not be had.
        parents: label → its parent, under today's names, as labels like ``shoes > boots`` of a table say.
    """

    fingerprint: str
    photos: dict[str, int]
    new: int
    gone: int
    relabeled: int
    corrections: tuple[Correction, ...] = ()
    dropped: dict[str, int] = Field(default_factory=dict)
    outliers: int = 0
    notes: tuple[str, ...] = ()
    parents: dict[str, str] = Field(default_factory=dict)


class PairedAccuracy(CycleRecord):
    """How often both are right on the same test photos, of one class (its recall) or newer ones.

    Of a new class, and without photos, there is only the challenger's. ``won`` photos only the challenger labels right,
    ``lost`` ones only the champion.
    """

    photos: int
    champion: float | None = None
    challenger: float
    won: int = 0
    lost: int = 0
    points: float | None = None
    points_95: Interval | None = None


class Brier(CycleRecord):
    """Mean Brier scores on the photos that both know, from 0 to 2; the lower, the better the probabilities.

    ``z`` is their difference in its standard errors; above 0 the challenger is better.
    """

    champion: float
    challenger: float
    z: float


class Calibration(CycleRecord):
    """Expected calibration errors on the photos that both know, and the interval of challenger's less champion's."""

    champion: float
    challenger: float
    difference_95: Interval


class AutomaticLabels(CycleRecord):
    """Photos that a model labels without a person, how many of these labels are wrong, and the share that is right."""

    photos: int
    wrong: int
    right_95: Interval


class Automation(CycleRecord):
    """How many photos each model labels without review.

    Attributes:
        champion_precision, own_precision: what each promises by default; None for nothing.
        challenger_precision: the champion's, if the challenger can promise that.
        champion, challenger, own: on photos of classes that both know, ``own`` by ``own_precision``.
        everywhere: the challenger on all test photos, those of new classes too.
        surest: the challenger's surest photos, as many as the champion labels.
        points: share of photos that the challenger labels without review, less the champion's.
    """

    champion_precision: float | None = None
    challenger_precision: float | None
    own_precision: float | None
    champion: AutomaticLabels | None = None
    challenger: AutomaticLabels
    own: AutomaticLabels
    everywhere: AutomaticLabels
    surest: AutomaticLabels | None = None
    points: float | None = None
    points_95: Interval | None = None


class Footprint(CycleRecord):
    """The default model's size and speed on this machine, each measured in turns with the other's."""

    bytes: int
    images_per_s: float


class TestChange(CycleRecord):
    """A test photo that exactly one of the two models labels right."""

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
        champion_accuracy, challenger_accuracy, won, lost, points: on these; see :class:`PairedAccuracy`.
        smallest_points: the smallest difference that a test of this many photos would find in four of five cases.
        challenger_all, all_photos: challenger's accuracy on all test photos, those of new classes too.
        newer: on photos that did not choose the champion; None if these are unknown.
        vanished: names that the champion knows, the photos do not have, and the map does not explain.
        changes: the most confident errors first; at most 200.
        unread: test photos of either model that are gone, changed or unreadable; they count for neither.
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
    brier: Brier | None = None
    newer: PairedAccuracy | None = None
    challenger_all: float
    all_photos: int
    classes: dict[str, PairedAccuracy]
    new_classes: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    calibration: Calibration | None = None
    automation: Automation | None = None
    champion_footprint: Footprint | None = None
    challenger_footprint: Footprint
    changes: tuple[TestChange, ...] = ()
    unread: int = 0


class Check(CycleRecord):
    """One check of the gate; docs/retraining.md lists all of them.

    Attributes:
        figure: what was measured; None if nothing could be.
        doubtful: whether a person should look although the check passed; the sentence says why.
        unsure: whether the photos were too few to show what the check looks for.
    """

    name: str
    figure: float | None = None
    limit: float | None = None
    passed: bool
    sentence: str
    doubtful: bool = False
    unsure: bool = False


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
