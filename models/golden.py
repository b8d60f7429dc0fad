"""Golden samples: raw photos in a bundle with the probabilities that the exported model gave for them."""

from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from models.bundle import Bundle
from models.classifier import Classifier, Probabilities
from models.errors import BundleError, ImageError
from models.preprocess import Pixels, preprocess

__all__ = ["GOLDEN_FILE", "GoldenSample", "check_golden", "dump_golden"]

GOLDEN_FILE: Final = "golden/expected.json"
FLOAT32_TOLERANCE: Final = 1e-3
INT8_TOLERANCE: Final = 0.05
INT8_MARGIN: Final = 0.1


class GoldenSample(BaseModel):
    """One photo and what each variant made of it.

    Attributes:
        file: name of the photo inside the bundle.
        kind: why it is there (``photo``, ``non_square``, ``exif_rotated``, ``transparent`` …).
        probabilities: variant → one probability a class, in label order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    file: str
    kind: str
    probabilities: dict[str, Annotated[tuple[float, ...], Field(strict=False)]]


_SAMPLES: Final = TypeAdapter(tuple[GoldenSample, ...])


def dump_golden(samples: tuple[GoldenSample, ...]) -> bytes:
    """The contents of ``golden/expected.json``."""
    return _SAMPLES.dump_json(samples, indent=1)


def check_golden(bundle: Bundle, classifier: Classifier) -> int:
    """Run a bundle's golden samples through decoding and the network, on this very machine.

    Returns:
        How many samples agreed: all of them.

    Raises:
        BundleError: there are none, or one disagrees.
    """
    samples = _read_samples(bundle)
    variant = classifier.metadata.variant
    for sample in samples:
        got = classifier.predict(_pixels(bundle, sample, classifier)[np.newaxis])[0]
        expected = np.asarray(sample.probabilities.get(variant, ()), dtype=np.float32)
        if expected.shape != got.shape:
            msg = f"{bundle.path / GOLDEN_FILE} lacks probabilities of {variant} for {sample.file}; export it again."
            raise BundleError(msg)
        if not _agrees(got, expected, variant):
            msg = (
                f"{bundle.path / sample.file} ({sample.kind}): this machine's probabilities differ by "
                f"{np.abs(got - expected).max():.2g} from those in the bundle; "
                "install the pinned versions of Pillow and onnxruntime, or export the bundle again."
            )
            raise BundleError(msg)
    return len(samples)


def _pixels(bundle: Bundle, sample: GoldenSample, classifier: Classifier) -> Pixels:
    try:
        return preprocess(bundle.read(sample.file), classifier.metadata.preprocess)
    except ImageError as error:
        msg = f"{bundle.path / sample.file} ({sample.kind}) cannot be decoded on this machine: {error}"
        raise BundleError(msg) from error


def _read_samples(bundle: Bundle) -> tuple[GoldenSample, ...]:
    try:
        samples = _SAMPLES.validate_json(bundle.read(GOLDEN_FILE))
    except ValidationError as error:
        msg = f"{bundle.path / GOLDEN_FILE} is not as it should be ({error.error_count()} faults); export it again."
        raise BundleError(msg) from error
    if not samples:
        msg = f"Expected golden samples in {bundle.path}, found none; export the bundle again."
        raise BundleError(msg)
    return samples


def _agrees(got: Probabilities, expected: Probabilities, variant: str) -> bool:
    difference = float(np.abs(got - expected).max())
    if variant != "int8":
        return difference <= FLOAT32_TOLERANCE
    second, first = np.sort(expected)[-2:]
    same_top = int(got.argmax()) == int(expected.argmax())
    return difference <= INT8_TOLERANCE and (same_top or first - second <= INT8_MARGIN)
