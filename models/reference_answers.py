"""``reference.json`` of a bundle: its models' answers on the photos that they were proved on.

Answers on a catalogue are compared with these.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, field_validator

from models.bundle import Bundle
from models.errors import BundleError
from models.manifest import parse_file
from models.statistics.confidence import Record

REFERENCE_FILE: Final = "reference.json"
BINS: Final = 20


class ReferenceAnswers(Record):
    """A model's answers on some photos, each distinct one counted once.

    Attributes:
        confidence_histogram: photos in each of 20 bins of equal width from 0 to 1, by their confidence.
        by_label: likeliest class → photos.
        outliers: photos of no product that the unknown score was measured on; None of photos of a catalogue.
    """

    confidence_histogram: Annotated[tuple[NonNegativeInt, ...], Field(min_length=BINS, max_length=BINS, strict=False)]
    by_label: dict[str, NonNegativeInt]
    outliers: NonNegativeInt | None = None

    @property
    def photos(self) -> int:
        """How many photos were counted."""
        return sum(self.by_label.values())


class Reference(Record):
    """The contents of ``reference.json``: variant → its answers."""

    schema_version: Literal[1] = 1
    variants: dict[str, ReferenceAnswers]

    @field_validator("variants")
    @classmethod
    def _check_photos(cls, variants: dict[str, ReferenceAnswers]) -> dict[str, ReferenceAnswers]:
        """Refuse unusable figures now, and not after the job's last photo."""
        for name, answers in variants.items():
            if sum(answers.confidence_histogram) != answers.photos:
                msg = f"expected {name} to have as many confidences as labels"
                raise ValueError(msg)
        return variants


def confidence_histogram(confidences: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """How many confidences, each from 0 to 1, are in each of 20 bins of equal width."""
    counts: npt.NDArray[np.int64] = np.histogram(confidences, bins=BINS, range=(0.0, 1.0))[0]
    return counts


def answers_of(labels: Iterable[str], confidences: npt.ArrayLike) -> ReferenceAnswers:
    """Count answers: a label and a confidence for each photo, in the same order."""
    names, counts = np.unique(np.array(list(labels), dtype=np.str_), return_counts=True)
    return ReferenceAnswers(
        confidence_histogram=tuple(confidence_histogram(confidences).tolist()),
        by_label=dict(zip(names.tolist(), counts.tolist(), strict=True)),
    )


def answers_of_probabilities(probabilities: npt.NDArray[np.float32], labels: Sequence[str]) -> ReferenceAnswers:
    """Count predictions: ``float32 (n, classes)``, with class names in the order of the columns."""
    return answers_of((labels[best] for best in probabilities.argmax(axis=1)), probabilities.max(axis=1))


def read_reference(bundle: Bundle, variant: str) -> ReferenceAnswers:
    """A variant's answers on the photos that it was proved on; BundleError if the file is damaged or lacks them."""
    file = bundle.path / REFERENCE_FILE
    answers = parse_file(Reference, bundle.read(REFERENCE_FILE), str(file)).variants.get(variant)
    if answers is None:
        msg = f"Expected answers of {variant} in {file}, found none; export the bundle again."
        raise BundleError(msg)
    return answers
