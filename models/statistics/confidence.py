"""A model's confidence: temperature, thresholds and limits, found on photos that it had not learned from.

It travels in the run and in the bundle.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

TARGETS: Final = (0.90, 0.95, 0.97, 0.98, 0.99)
"""The precisions that a person can ask for."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Thresholds = Annotated[tuple[Probability | None, ...], Field(strict=False)]
"""For each class, in label order, the confidence under which a row goes to review; None sends all its rows there."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class PrecisionTarget(_Record):
    """The thresholds at which rows that are labelled without review are right this often.

    A row is labelled without review if its confidence reaches the threshold of its likeliest class and its
    out-of-distribution score is within the limit; every other row goes to review.

    Attributes:
        precision: the target.
        thresholds: of each class.
        coverage: expected share of all rows that are labelled without review.
        class_coverage: for each class, the same share of the rows whose likeliest class it is; None without rows.
        rows: how many independent rows each class's threshold was found on; photos of one picture or product together
            count about once.
        nodes: of a tree of labels, node above the classes → the summed probability of its classes from which a row that
            no node below it is sure enough of is labelled with it; None never. Empty without a tree; then it is not
            written.
        level_coverage: expected share of all rows that are labelled at each level, classes first; together they are the
            coverage. Empty without a tree.
    """

    precision: Probability
    thresholds: Thresholds
    coverage: Probability
    class_coverage: Annotated[tuple[Probability | None, ...], Field(strict=False)]
    rows: Annotated[tuple[int, ...], Field(strict=False)]
    nodes: dict[str, Probability | None] = Field(default_factory=dict)
    level_coverage: Annotated[tuple[Probability, ...], Field(strict=False)] = ()

    @model_serializer(mode="wrap")
    def _without_tree(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a tree nothing is said of one, so that earlier versions can read it."""
        said: dict[str, Any] = write(self)
        return said if self.nodes else {key: said[key] for key in said if key not in {"nodes", "level_coverage"}}

    @model_validator(mode="after")
    def _as_long_as_each_other(self) -> Self:
        if not len(self.thresholds) == len(self.class_coverage) == len(self.rows):
            msg = "thresholds, class_coverage and rows: expected one of each for every class"
            raise ValueError(msg)
        return self


class UnknownLimit(_Record):
    """Where "not one of my products" begins.

    Attributes:
        score: which score the ONNX file's output ``unknown`` (``float32 [batch]``) is; a higher one is less like the
            products. ``energy`` is in old bundles only.
        limit: a row whose score is above goes to review.
        kept: share of known rows within the limit.
    """

    score: Literal["energy", "distance"]
    limit: float
    kept: Probability


class Confidence(_Record):
    """The contents of a run's ``confidence.json``; a bundle has one for each variant.

    Attributes:
        temperature: what the logits are divided by.
        precision: the default target, used if a person names none; None if no target can be promised.
        targets: a row for each target that can be asked for, in rising order.
        unknown: None if it could not be learned.
        rows: how many photos it was fitted on.
        out_of_fold: how many of these rows were of the training split, predicted by networks that had not seen them.
    """

    temperature: float = Field(gt=0.0)
    precision: Probability | None
    targets: Annotated[tuple[PrecisionTarget, ...], Field(strict=False)]
    unknown: UnknownLimit | None
    rows: int
    out_of_fold: int = 0
