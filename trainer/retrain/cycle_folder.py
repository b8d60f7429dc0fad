"""The folders of cycles, ``<folder>/000003/``, and the JSON records that the steps of a cycle write there.

Points are percentage points. A field ``x_95`` is the 95% interval of the field ``x``.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ExitCode, InputError
from models.statistics.intervals import Interval
from models.text import numbered
from models.whole_file import replace_file
from trainer.run import Inside
from worker.catalogue_diff import CatalogueFigures

COLLECTING: Final = ".collecting"
"""The temporary folder of a new cycle."""

R = TypeVar("R", bound=BaseModel)


def now_text() -> str:
    """The current UTC time in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class CycleStatus(StrEnum):
    """How a cycle ended.

    ``failed``: a permanent error or ``--restart`` ended the cycle. A cycle that can continue has no outcome.
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
    """The start of a cycle (``cycle.json``). The cycle keeps these settings even if the config file changes.

    ``config`` has absolute paths. ``champion_version`` is 0 if there was no champion.
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
        number: number of the cycle, or 0 if no cycle began.
        champion: the compared champion, such as ``shop@3``. Without a comparison, the current champion.
        reasons: the gate's reasons against the challenger, or why the cycle failed or did not begin.
        seconds: seconds of each step, over all processes that worked on the cycle.
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

    def undo(self, registry: str) -> str:
        """A sentence with the command that reverses the decision, or an empty string."""
        command = ""
        if self.status is CycleStatus.REFUSED:
            command = f"To overrule the gate: hangtag models promote {self.challenger} --force --why REASON"
        elif self.status is CycleStatus.PROMOTED and self.champion:
            command = f"To go back: hangtag models rollback {self.name}"
        return f"{command} --registry {quote(registry)}" if command else ""


class Correction(CycleRecord):
    """The outcome of a reviewer's correction in this cycle.

    Attributes:
        image: the photo's path in ``dataset.csv``, or the SHA-256 of its bytes if no path is known.
        was: the photo's label in the data, or else the model's label, or None if both are unknown.
        outcome: ``applied``, ``added``, ``agrees``, ``conflict``, ``dropped`` or ``not_found``.
    """

    image: str
    label: str
    was: str | None
    reviewer: str
    outcome: str
    sha256: str = ""


class Collected(CycleRecord):
    """The data of a cycle (``collected.json``). The photos are in ``dataset.csv``.

    Attributes:
        fingerprint: digest of all photos, labels and products.
        outliers: number of photos with the label ``_none``.
        new, gone, relabeled: how many photos are new, missing or relabelled since the previous cycle.
        dropped: number of photos of each dropped class.
        notes: remarks on how a table was read, and on photos that could not be downloaded.
        parents: each label's parent, by current class name, if a table has labels like ``shoes > boots``.
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
    """The accuracy of both models on the same test photos. For a single class, accuracy means recall.

    ``champion`` is None if no photo has a class of the champion. ``won``: how many photos only the challenger labels
    right. ``lost``: how many photos only the champion labels right.
    """

    photos: int
    champion: float | None = None
    challenger: float
    won: int = 0
    lost: int = 0
    points: float | None = None
    points_95: Interval | None = None


class Brier(CycleRecord):
    """Mean Brier scores (0 to 2) on photos of classes that both models have. Lower is better.

    ``z`` is the z-score of the challenger's gain. The challenger is better if ``z`` is above 0.
    """

    champion: float
    challenger: float
    z: float


class Calibration(CycleRecord):
    """The expected calibration error of each model, on photos of classes that both models have.

    The difference is challenger minus champion.
    """

    champion: float
    challenger: float
    difference_95: Interval


class AutomaticLabels(CycleRecord):
    """The labels that a model gives without review. ``right_95`` is the interval of the labels' precision."""

    photos: int
    wrong: int
    right_95: Interval


class Automation(CycleRecord):
    """The photos that each model labels without review.

    Attributes:
        champion_precision, own_precision: the default precision of champion and challenger, or None.
        challenger_precision: the champion's precision, or ``own_precision`` if the challenger has no threshold for it.
        champion, challenger, own: labels on photos of classes that both models have. ``own`` uses ``own_precision``.
        everywhere: labels of the challenger on all test photos, including new classes.
        surest: the challenger's ``champion.photos`` most confident labels.
        points: share of photos that the challenger labels without review, minus the champion's share.
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
    """A model's size and speed on this machine.

    Attributes:
        default_bytes: file size of the default variant.
        compared_bytes: file size of the compared variant (float32 if the default variants differ).
        images_per_s: speed of the compared variant on one thread.
    """

    default_bytes: int
    compared_bytes: int
    images_per_s: float


class TestChange(CycleRecord):
    """A test photo that only one of the two models labels right."""

    image: str
    sha256: str
    truth: str
    champion: str
    champion_confidence: float
    challenger: str
    challenger_confidence: float


class Comparison(CycleRecord):
    """The comparison of both models on the same test split (``comparison.json``).

    Attributes:
        champion, challenger: names such as ``shop@3``. ``champion`` is None for a first model.
        photos: number of test photos of classes that both models have.
        champion_accuracy to points: see :class:`PairedAccuracy`.
        smallest_points: the smallest difference that a test of this many photos detects with 80% probability.
        challenger_all, all_photos: the challenger's accuracy on all test photos, including new classes.
        newer: accuracy on photos that were not used to choose the champion, or None if unknown.
        vanished: classes of the champion that the challenger lacks, and that the settings do not drop.
        changes: at most 200 photos that only one model labels right. The most confident errors come first.
        unread: number of test photos that are gone, changed or unreadable. Both models skip them.
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
    """One check of the gate. docs/retraining.md lists all checks.

    Attributes:
        figure: the measured value, or None if not measurable.
        doubtful: whether a person should review this passed check. ``sentence`` says why.
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
    """The result of the gate (``verdict.json``)."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the challenger may become the champion."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons against the challenger, one sentence each."""
        return tuple(check.sentence for check in self.checks if not check.passed)


class CatalogueDiff(CatalogueFigures, frozen=True):
    """The comparison of both models on a sample of a catalogue's rows (``catalogue.json``)."""

    changed_share_95: Interval


@dataclass(frozen=True)
class CycleFolder:
    """The folder of one cycle. Files are written atomically. A step is done when its file exists."""

    path: Path

    dataset = Inside("dataset.csv")  # the cycle's photos and labels
    collected = Inside("collected.json")  # Collected
    earlier = Inside("earlier.csv")  # a copy of the splits that the cycle extends
    start = Inside("cycle.json")
    run = Inside("run")  # the challenger's training
    splits = Inside("splits.csv")  # splits for the next cycle
    bundle = Inside("bundle")  # the challenger's bundle
    comparison = Inside("comparison.json")  # Comparison
    catalogue = Inside("catalogue.json")  # CatalogueDiff
    rows = Inside("catalogue")  # the compared rows of the catalogue, and both models' labels
    verdict = Inside("verdict.json")  # GateVerdict
    published = Inside("published.json")  # the challenger's version
    seconds = Inside("seconds.json")  # seconds of each step
    report = Inside("report.html")
    outcome = Inside("outcome.json")  # Outcome; the cycle's last file

    def write(self, path: Path, record: BaseModel) -> None:
        """Write a record as JSON, atomically."""
        replace_file(path, record.model_dump_json(indent=1).encode())

    def read(self, path: Path, kind: type[R]) -> R:
        """Read a record. Raises InputError if the record is missing or damaged."""
        try:
            return kind.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            msg = f"{path} is missing or damaged; start again: hangtag retrain CONFIG --restart."
            raise InputError(msg) from error

    def find(self, path: Path, kind: type[R]) -> R | None:
        """Read a record, or return None if it is missing."""
        return self.read(path, kind) if path.is_file() else None

    def step_seconds(self) -> dict[str, float]:
        """The duration of each step so far, in seconds."""
        return dict(json.loads(self.seconds.read_bytes())) if self.seconds.is_file() else {}

    def abandon(self, why: str) -> None:
        """End the cycle without a decision."""
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
        """All cycles, in order."""
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
        """Remove the large files of old cycles. Records, report and splits stay.

        The last ``keep`` finished cycles and the newest cycle are not changed.
        """
        stay = {cycle.path for cycle in [*self.finished()[-keep:], *self.all()[-1:]]}
        for cycle in self.all():
            if cycle.path not in stay:
                for folder in (cycle.run, cycle.bundle, cycle.rows):
                    shutil.rmtree(folder, ignore_errors=True)
                for file in (cycle.dataset, cycle.earlier):
                    file.unlink(missing_ok=True)
