"""A model's temperature, thresholds and limits, computed from held-out photos. Stored in runs and bundles."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TARGETS: Final = (0.90, 0.95, 0.97, 0.98, 0.99)
"""The precisions that people can choose."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Thresholds = Annotated[tuple[Probability | None, ...], Field(strict=False)]
"""The threshold of each class, in label order.

Rows of lower confidence go to review. If None, all rows of the class go to review.
"""


class StrictModel(BaseModel):
    """A record in a JSON file. Refuses unknown fields, values of wrong types, infinity and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class PrecisionTarget(StrictModel):
    """Thresholds, and the precision that they promise.

    A row goes to review if its confidence is below the threshold of its likeliest class. With a tree, the row first
    gets a label above the class, if that label reaches its own threshold. A row above the out-of-distribution limit
    always goes to review.

    Attributes:
        coverage: expected fraction of all rows that are labelled without review.
        class_coverage: for each likeliest class, the fraction of its rows that are labelled without review. None
            without rows.
        rows: number of independent rows behind each class's threshold. All photos of one product count as about one
            row, as do all copies of one photo.
        nodes: in a tree of labels, the thresholds of the nodes above the classes. A node's probability is the sum over
            its classes. A node without a threshold is never a label. A row's label is the lowest node that reaches its
            threshold.
        level_coverage: expected fraction of all rows that are labelled at each level, from the classes up.
    """

    precision: Probability
    thresholds: Thresholds
    coverage: Probability
    class_coverage: Annotated[tuple[Probability | None, ...], Field(strict=False)]
    rows: Annotated[tuple[int, ...], Field(strict=False)]
    nodes: dict[str, Probability | None] = Field(default_factory=dict)
    level_coverage: Annotated[tuple[Probability, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _as_long_as_each_other(self) -> Self:
        if not len(self.thresholds) == len(self.class_coverage) == len(self.rows):
            msg = "thresholds, class_coverage and rows: expected one value per class"
            raise ValueError(msg)
        return self


class UnknownLimit(StrictModel):
    """The limit of the out-of-distribution score (output ``unknown``): rows with a higher score go to review.

    ``kept`` is the share of product photos within the limit.
    """

    score: Literal["distance"]
    limit: float
    kept: Probability


class Calibration(StrictModel):
    """The temperature of a network, and the precisions that it can promise.

    Attributes:
        temperature: the divisor of the logits.
        precision: the default target. None if no target can be promised.
        targets: the possible precisions, ascending.
        unknown: the out-of-distribution limit, or None.
    """

    temperature: float = Field(gt=0.0)
    precision: Probability | None
    targets: Annotated[tuple[PrecisionTarget, ...], Field(strict=False)]
    unknown: UnknownLimit | None

    @model_validator(mode="after")
    def _each_precision_once(self) -> Self:
        precisions = [target.precision for target in self.targets]
        if len(set(precisions)) != len(precisions):
            msg = f"targets: expected each precision once, got {precisions}"
            raise ValueError(msg)
        if self.precision not in {None, *precisions}:
            msg = f"precision: expected one of {precisions}, got {self.precision}"
            raise ValueError(msg)
        return self

    def check_targets(self, classes: int, nodes: frozenset[str]) -> None:
        """Raise ValueError if a target does not fit the number of classes and the nodes above them."""
        for number, target in enumerate(self.targets):
            if len(target.thresholds) != classes:
                msg = f"targets.{number}.thresholds: expected {classes}, got {len(target.thresholds)}"
                raise ValueError(msg)
            if target.nodes.keys() != nodes:
                listed = ", ".join(target.nodes) or "none"
                msg = f"targets.{number}.nodes: expected the nodes of the taxonomy, got {listed}"
                raise ValueError(msg)

    @property
    def ruling(self) -> PrecisionTarget | None:
        """The default target. None if no target can be promised."""
        return next((target for target in self.targets if target.precision == self.precision), None)

    def ruling_thresholds(self, classes: int) -> Thresholds:
        """The default target's thresholds. Without a default target, every threshold is None."""
        return self.ruling.thresholds if self.ruling else (None,) * classes


class Confidence(Calibration):
    """The contents of a run's ``confidence.json``.

    Attributes:
        rows: number of held-out photos used to compute these values.
        out_of_fold: number of training photos in ``rows``, with out-of-fold predictions.
    """

    rows: int
    out_of_fold: int = 0
