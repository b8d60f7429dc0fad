"""The content of a training's HTML report and model card."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.decision import UNMEASURED
from models.photo import NONE
from models.preprocess import Pixels
from models.statistics.confidence import Confidence, PrecisionTarget
from models.statistics.out_of_distribution import expected_within
from models.text import number_of
from pages.text import between, duration, percent, rounded, target_name
from trainer.data.dataset import Exclusion, Split
from trainer.judging.evaluate import Evaluation, Judged, SplitPredictions
from trainer.judging.figures import AchievedPrecision, Figures, advice_for_promise, confusion
from trainer.judging.label_errors import LabelIssue
from trainer.run import EpochFigures, RunArgs

_SHOWN_ELSEWHERE: Final = frozenset(
    {"schema_version", "name", "classes", "made_with", "table", "parents", "state", "epochs_done", "best_epoch"}
)
_MEGABYTE: Final = 1_000_000


@dataclass(frozen=True)
class Speed:
    """A training's duration, its network's speed, and the share of time spent waiting for data."""

    parameters: int
    model_bytes: int
    images_per_s: float
    threads: int
    train_seconds: float
    waiting: float

    @property
    def rows(self) -> dict[str, str]:
        """The rows of the table of size and speed: plain text by name."""
        threads = number_of(self.threads, "thread")
        return {
            "Parameters": f"{self.parameters:,}",
            "Model file": f"{self.model_bytes / _MEGABYTE:,.1f} MB",
            "Speed": f"{self.images_per_s:,.0f} images/s on {threads}, without decoding",
            "Training": duration(self.train_seconds),
            "Waiting for data": f"{percent(self.waiting)} of the training",
        }


@dataclass(frozen=True)
class ReportMaterial:
    """The data of a training's reports. At least one epoch is complete.

    Attributes:
        prepared_counts: number of used photos by split and class.
        train_batch: (photo, class) pairs of the first step. Photos are augmented, ``uint8 (S, S, 3)``.
        pixels: takes SHA-256s of photos, returns the network's input ``uint8 (n, S, S, 3)``.
        heat: takes pixels and class indices, returns heat maps ``float32 (n, S, S)`` in 0..1.
    """

    args: RunArgs
    prepared_counts: Mapping[Split, Mapping[str, int]]
    notes: tuple[str, ...]
    excluded: Sequence[Exclusion]
    history: Sequence[EpochFigures]
    judged: Mapping[Judged, SplitPredictions]
    confidence: Confidence
    evaluation: Evaluation
    issues: Sequence[LabelIssue]
    speed: Speed
    train_batch: Sequence[tuple[Pixels, str]]
    pixels: Callable[[Sequence[str]], Pixels]
    heat: Callable[[Pixels, Sequence[int]], NDArray[np.float32]]

    @property
    def split(self) -> Judged:
        """The group of photos whose figures are shown."""
        return self.evaluation.shown if self.evaluation.shown in self.judged else Judged.VAL

    @property
    def shown(self) -> SplitPredictions:
        """The photos of ``split``, with their predictions."""
        return self.judged[self.split]

    @property
    def figures(self) -> Figures | None:
        """The figures of ``split``."""
        return self.evaluation.of(self.split)

    @property
    def matrix(self) -> NDArray[np.int64]:
        """Number of photos by true class (row) and predicted class (column)."""
        return confusion(self.shown.probabilities, self.shown.labels, len(self.args.classes))

    @property
    def best(self) -> EpochFigures:
        """The epoch whose network is stored."""
        return self.history[(self.args.best_epoch or len(self.history)) - 1]

    @property
    def caveat(self) -> str:
        """A warning that the figures are not from test photos. Empty if they are."""
        if self.split is Judged.TEST:
            return ""
        if self.split is Judged.CV:
            rests = "The promise is based" if self.ruling else "These figures are based"
            return (
                f"{self.args.folds}-fold cross-validation, n = {len(self.shown.labels):,}: each photo was "
                f"predicted by a network that was trained without it. {rests} on these photos."
            )
        chosen = "thresholds" if self.args.best_epoch == self.args.epochs_done else "best epoch and the thresholds"
        return (
            "There are no test photos. The figures are from the validation photos, which were also used to choose the "
            f"{chosen}, so expect slightly lower figures on new photos."
        )

    @property
    def found_on(self) -> str:
        """Names the photos on which the thresholds were set."""
        others = self.confidence.out_of_fold
        own = f"{number_of(self.confidence.rows - others, 'photo')} not used for training"
        by_folds = f", and on out-of-fold predictions for {number_of(others, 'photo')}"
        return own + by_folds if others else own

    @property
    def ruling(self) -> PrecisionTarget | None:
        """The default precision, with its thresholds."""
        return next((one for one in self.confidence.targets if one.precision == self.confidence.precision), None)

    def realised(self, target: PrecisionTarget, split: Judged) -> AchievedPrecision | None:
        """Measured coverage and precision at a target precision on one group of photos, or None."""
        by_split = self.evaluation.coverage_at_precision.get(f"{target.precision:.2f}")
        return by_split.of(split) if by_split else None

    @property
    def promise(self) -> str:
        """The promised precision and coverage, as a sentence."""
        target = self.ruling
        if target is None:
            unpromised = "Every photo goes to review; use --threshold to label photos without a promised precision."
            return f"{self._unpromised[0]} {unpromised}"
        return (
            f"At {target_name(target.precision)} precision Hangtag labels about {rounded(target.coverage)} of "
            f"your photos without review and sends the other photos to a person.{self._in_tree(target)}"
        )

    @property
    def instead(self) -> list[str]:
        """Sentences on the most confident predictions and on weak classes, if no precision is promised."""
        return [] if self.ruling else self._unpromised[1:]

    @property
    def advice(self) -> str:
        """Advice on getting a model that can promise a precision."""
        return advice_for_promise(self.args, folds_may_prove=self.evaluation.folds_may_prove)

    @property
    def _unpromised(self) -> list[str]:
        return self.evaluation.unpromised(pooled=self.args.pools_folds)

    @staticmethod
    def _in_tree(target: PrecisionTarget) -> str:
        if not target.level_coverage:
            return ""
        if not sum(target.level_coverage[1:]):
            return " Only classes are used as labels: broader labels were not precise enough or would add no photos."
        share = rounded(target.level_coverage[0])
        return f" About {share} of your photos get a class, and the other labelled photos get a broader label."

    @property
    def outcome(self) -> str:
        """The precision on test photos, as a sentence. Empty without test photos."""
        target = self.ruling
        achieved = self.realised(target, Judged.TEST) if target else None
        if target is None or achieved is None:
            return ""
        if not achieved.automatic or achieved.precision is None:
            return "Hangtag would send every test photo to review."
        less = ", below the target, but not significantly" if achieved.precision < target.precision else ""
        if achieved.misses(target.precision):
            less = ", significantly below the target. Train with more photos before you rely on the promise"
        right = achieved.automatic - achieved.wrong
        return (
            f"Of the test photos, Hangtag labels {rounded(achieved.coverage)} without review, and {right:,} of "
            f"{achieved.automatic:,} labels are right: {percent(achieved.precision)} ({between(achieved.precision_95)} "
            f"with 95% confidence){less}."
        )

    @property
    def holds_on_test(self) -> bool:
        """False if the precision on test photos is significantly below the promise."""
        target = self.ruling
        achieved = self.realised(target, Judged.TEST) if target else None
        return not (target and achieved and achieved.misses(target.precision))

    @property
    def within_limit(self) -> float:
        """The share of new product photos expected within the out-of-distribution limit. 1 without a limit."""
        held = self.confidence.rows - self.confidence.out_of_fold
        return expected_within(held) if self.confidence.unknown else 1.0

    @property
    def outliers(self) -> str:
        """The share of photos without a product that go to review, as a sentence."""
        figures = self.evaluation.unknown.outliers if self.evaluation.unknown else None
        if figures is None:
            return UNMEASURED
        return (
            f"Of {number_of(figures.n, 'photo')} in {NONE} that were not used for training, {percent(figures.caught)} "
            f"go to review ({between(figures.caught_95)} with 95% confidence)."
        )

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the training as names and plain text, without classes and unused settings."""
        settings = self.args.model_dump(mode="json", exclude=set(_SHOWN_ELSEWHERE))
        return {name: _shown(value) for name, value in settings.items() if value is not None}

    @property
    def made_with(self) -> str:
        """The version of each package in use."""
        return ", ".join(f"{package} {version}" for package, version in self.args.made_with.items())


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {amount:,.0f}" for name, amount in value.items())
    return str(value)
