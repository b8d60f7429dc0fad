"""The folders of cycles, ``<folder>/000003/``, and the records in them, which a cycle's steps write as JSON.

Points are hundredths; a field ``x_95`` is the 95% interval of the field ``x``.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ExitCode, InputError
from models.statistics.intervals import Interval
from models.text import numbered
from models.whole_file import replace_file
from trainer.run import Inside
from worker.catalogue_diff import CatalogueFigures

COLLECTING: Final = ".collecting"
"""Photos are collected here before we know whether any are new."""

R = TypeVar("R", bound=BaseModel)


def now_text() -> str:
    """Now, in UTC, for files."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class CycleStatus(StrEnum):
    """How a cycle ended.

    ``failed``: abandoned, by ``--restart`` or after a permanent error. A cycle after any other error has no outcome yet
    and continues.
    """

    PROMOTED = "promoted"
    REFUSED = "refused"
    NOTHING_NEW = "nothing_new"
    FAILED = "failed"

    @property
    def exit_code(self) -> ExitCode:
        """The exit status of ``hangtag retrain``."""
        return {
            CycleStatus.PROMOTED: ExitCode.OK,
            CycleStatus.REFUSED: ExitCode.GATE_REFUSED,
            CycleStatus.NOTHING_NEW: ExitCode.NOTHING_NEW,
            CycleStatus.FAILED: ExitCode.FAILURE,
        }[self]


class CycleRecord(BaseModel):
    """A JSON file of a cycle."""

    model_config = ConfigDict(frozen=True)


class CycleStart(CycleRecord):
    """The start of a cycle (``cycle.json``); it keeps these settings even if the settings' file changes.

    ``config`` has absolute paths; ``champion_version`` is 0 if there was no champion.
    """

    number: int
    name: str
    started: str
    why: str = "data"
    config: dict[str, Any] = Field(default_factory=dict)
    champion_version: int = 0


class Outcome(CycleRecord):
    """How a cycle ended (``outcome.json``).

    Attributes:
        number: of the cycle; 0 if no cycle began.
        champion: the challenger's opponent, such as ``shop@3``; or the model in use, if there was nothing to do.
        reasons: why it was refused, even if a person promoted it then; or why no cycle began.
        seconds: step → seconds, of all processes that worked on it.
    """

    status: CycleStatus
    number: int
    name: str
    champion: str | None = None
    challenger: str | None = None
    version: int | None = None
    reasons: tuple[str, ...] = ()
    started: str
    finished: str
    seconds: dict[str, float] = Field(default_factory=dict)


class Correction(CycleRecord):
    """The outcome of a reviewer's correction in this cycle.

    Attributes:
        image: the photo's path in ``dataset.csv``, or the SHA-256 of its bytes if no path is known.
        was: its label before; None for a new photo.
        outcome: ``applied``, ``added``, ``agrees``, ``conflict``, ``dropped`` or ``not_found``.
    """

    image: str
    label: str
    was: str | None
    reviewer: str
    outcome: str


class Collected(CycleRecord):
    """A cycle's data (``collected.json``; the photos are in ``dataset.csv``).

    Attributes:
        fingerprint: of all photos, labels and products; unchanged if there are no new ones.
        outliers: how many show no product.
        new, gone, relabeled: photos compared with the cycle before.
        dropped: photos of dropped classes, by class.
        notes: sentences on how a table was read, and on photos that could not be fetched.
        parents: label → its parent, under today's names, from labels like ``shoes > boots`` of a table.
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
    """Accuracy of both on the same test photos: of one class (its recall), or newer ones.

    A new class, or no photos, leave only the challenger's. Only the challenger labels ``won`` photos right, only the
    champion ``lost`` ones.
    """

    photos: int
    champion: float | None = None
    challenger: float
    won: int = 0
    lost: int = 0
    points: float | None = None
    points_95: Interval | None = None


class Brier(CycleRecord):
    """Mean Brier scores on the photos that both know, from 0 to 2; lower is better.

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
    """Photos that a model labels without a person, the wrong ones among them, and the interval of the right share."""

    photos: int
    wrong: int
    right_95: Interval


class Automation(CycleRecord):
    """How many photos each model labels without review.

    Attributes:
        champion_precision, own_precision: each model's default promise; None without one.
        challenger_precision: the champion's, if the challenger can promise it.
        champion, challenger, own: on photos of classes that both know, ``own`` by ``own_precision``.
        everywhere: the challenger on all test photos, new classes included.
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
    """A model's size and its speed on this machine, measured in turns with the other model's.

    Attributes:
        default_bytes: of the default variant.
        compared_bytes: of the variant that both models have: the default, or float32 if the defaults differ.
        images_per_s: of the compared variant, on one thread.
    """

    default_bytes: int
    compared_bytes: int
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
        challenger_all, all_photos: challenger's accuracy on all test photos, new classes included.
        newer: on photos that did not choose the champion; None if unknown.
        vanished: classes of the champion that the photos lack and the map does not explain.
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
        figure: the measured value; None if it could not be measured.
        doubtful: whether a person should look although the check passed; the sentence gives the reason.
        unsure: whether there were too few photos for the check.
    """

    name: str
    figure: float | None = None
    limit: float | None = None
    passed: bool
    sentence: str
    doubtful: bool = False
    unsure: bool = False


class GateVerdict(CycleRecord):
    """The gate's verdict (``verdict.json``)."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the challenger may become the champion."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it may not, a sentence each."""
        return tuple(check.sentence for check in self.checks if not check.passed)


class CatalogueDiff(CatalogueFigures, frozen=True):
    """Champion and challenger on a sample of a catalogue's rows (``catalogue.json``)."""

    changed_share_95: Interval


@dataclass(frozen=True)
class CycleFolder:
    """The folder of one cycle. A file in it is whole or absent; a step is done once its file exists."""

    path: Path

    dataset = Inside("dataset.csv")  # its photos and labels
    collected = Inside("collected.json")  # Collected
    earlier = Inside("earlier.csv")  # a copy of the splits that it extends; absent without any
    start = Inside("cycle.json")
    run = Inside("run")  # the challenger's training
    splits = Inside("splits.csv")  # for the next cycle; they outlive the run
    bundle = Inside("bundle")  # the challenger
    comparison = Inside("comparison.json")  # Comparison
    catalogue = Inside("catalogue.json")  # CatalogueDiff
    rows = Inside("catalogue")  # the compared rows of the catalogue, and both models' labels
    verdict = Inside("verdict.json")  # GateVerdict
    published = Inside("published.json")  # the challenger's version
    seconds = Inside("seconds.json")  # step → seconds
    report = Inside("report.html")
    outcome = Inside("outcome.json")  # the last file: a cycle with it is over

    def write(self, path: Path, record: BaseModel) -> None:
        """Write a record as JSON, whole."""
        replace_file(path, record.model_dump_json(indent=1).encode())

    def read(self, path: Path, kind: type[R]) -> R:
        """Read a record; InputError if it is missing or damaged."""
        try:
            return kind.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            msg = f"{path} is missing or damaged; begin again: hangtag retrain CONFIG --restart."
            raise InputError(msg) from error

    def find(self, path: Path, kind: type[R]) -> R | None:
        """Read a record; None if it is missing."""
        return self.read(path, kind) if path.is_file() else None

    def step_seconds(self) -> dict[str, float]:
        """Step → its seconds until now."""
        return dict(json.loads(self.seconds.read_bytes())) if self.seconds.is_file() else {}

    def abandon(self, why: str) -> None:
        """End the cycle without a decision; its number is not used again."""
        start = self.read(self.start, CycleStart)
        outcome = Outcome(
            status=CycleStatus.FAILED,
            number=start.number,
            name=start.name,
            reasons=(why,),
            started=start.started,
            finished=now_text(),
        )
        self.write(self.outcome, outcome)


@dataclass(frozen=True)
class Cycles:
    """All cycles of a model on this machine."""

    path: Path

    def all(self) -> list[CycleFolder]:
        """All cycles, in order; a folder counts once it has a cycle's first files."""
        numbers = numbered((entry.name for entry in self.path.glob("[0-9]*") if entry.is_dir()), "")
        return [CycleFolder(self.path / f"{number:06d}") for number in numbers]

    def unfinished(self) -> CycleFolder | None:
        """The unfinished cycle, if any."""
        return next((cycle for cycle in reversed(self.all()) if not cycle.outcome.is_file()), None)

    def finished(self) -> list[CycleFolder]:
        """The cycles with a decision, in order."""
        decided = {CycleStatus.PROMOTED, CycleStatus.REFUSED}
        over = [cycle for cycle in self.all() if cycle.outcome.is_file()]
        return [cycle for cycle in over if cycle.read(cycle.outcome, Outcome).status in decided]

    def lighten(self, keep: int) -> None:
        """Remove the large files of old cycles, except the latest ``keep`` finished ones and the latest of all.

        Records, report and splits stay.
        """
        stay = {cycle.path for cycle in [*self.finished()[-keep:], *self.all()[-1:]]}
        for cycle in self.all():
            if cycle.path not in stay:
                for folder in (cycle.run, cycle.bundle, cycle.rows):
                    shutil.rmtree(folder, ignore_errors=True)
                for file in (cycle.dataset, cycle.earlier):
                    file.unlink(missing_ok=True)
