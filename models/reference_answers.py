"""``reference.json`` of a bundle: its models' answers on the photos that they were proved on.

Answers on a catalogue are compared with these. It is a file of its own, and not in the manifest, so that an older
Hangtag can still label with the bundle.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError, field_validator

from models.bundle import Bundle
from models.errors import BundleError

REFERENCE_FILE: Final = "reference.json"
BINS: Final = 20


class _Record(BaseModel):
    """Fields that a later version adds are left out, so that an upgrade refuses no bundle."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ReferenceAnswers(_Record):
    """A model's answers on some photos, each distinct one counted once.

    Attributes:
        confidence_histogram: photos in each of 20 bins of equal width from 0 to 1, by their confidence.
        by_label: likeliest class → photos.
        outliers: photos of no product that it was measured on how many are found; None where nobody noted that.
    """

    confidence_histogram: Annotated[tuple[NonNegativeInt, ...], Field(min_length=BINS, max_length=BINS)]
    by_label: dict[str, NonNegativeInt]
    outliers: NonNegativeInt | None = None

    @property
    def photos(self) -> int:
        """How many photos were counted."""
        return sum(self.by_label.values())


class _Contents(_Record):
    schema_version: Literal[1]
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


def dump_reference(variants: Mapping[str, ReferenceAnswers]) -> bytes:
    """The contents of ``reference.json``: variant → its answers."""
    return _Contents(schema_version=1, variants=dict(variants)).model_dump_json(indent=1).encode()


def read_reference(bundle: Bundle, variant: str) -> ReferenceAnswers | None:
    """A variant's answers on the photos that it was proved on; None if an older Hangtag made the bundle.

    Raises:
        BundleError: the file has changed since the export, or is from another version of Hangtag.
    """
    if REFERENCE_FILE not in bundle.manifest.files:
        return None
    try:
        return _Contents.model_validate_json(bundle.read(REFERENCE_FILE)).variants.get(variant)
    except ValidationError as error:
        file = bundle.path / REFERENCE_FILE
        msg = f"{file} is damaged, or of a later Hangtag; upgrade Hangtag, or export the bundle again."
        raise BundleError(msg) from error
