"""Golden samples: raw photos in a bundle with the probabilities that the exported model gave for them."""

from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from models.bundle import Bundle
from models.classifier import Classifier
from models.decision import Probabilities, Scores
from models.edge import EdgeModel
from models.errors import BundleError, DisagreementError, ImageError
from models.preprocess import preprocess, whole_pixels
from models.statistics.out_of_distribution import relative_difference
from models.text import number_of

GOLDEN_FILE: Final = "golden/expected.json"
FLOAT32_TOLERANCE: Final = 1e-3
INT8_TOLERANCE: Final = 0.05
INT8_MARGIN: Final = 0.1
UNKNOWN_TOLERANCE: Final = {"float32": 0.01, "int8": 0.1}
"""The largest relative error of an out-of-distribution score (:func:`relative_difference`)."""


class GoldenSample(BaseModel):
    """One photo and each variant's scores for it.

    Attributes:
        file: name of the photo inside the bundle.
        kind: why it is there (``photo``, ``non_square``, ``exif_rotated``, ``transparent`` …).
        probabilities: variant → one probability a class, in label order.
        unknown: variant → the out-of-distribution score; without the variants that have none.
        edge: variant → the probabilities that its edge graph gave for the whole photo
            (:func:`models.preprocess.whole_pixels`); without the variants that have no such graph.
        edge_unknown: variant → the out-of-distribution score that it gave; empty in old bundles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    file: str
    kind: str
    probabilities: dict[str, Annotated[tuple[float, ...], Field(strict=False)]]
    unknown: dict[str, float] = Field(default_factory=dict)
    edge: dict[str, Annotated[tuple[float, ...], Field(strict=False)]] = Field(default_factory=dict)
    edge_unknown: dict[str, float] = Field(default_factory=dict)


_SAMPLES: Final = TypeAdapter(tuple[GoldenSample, ...])


def dump_golden(samples: tuple[GoldenSample, ...]) -> bytes:
    """The contents of ``golden/expected.json``."""
    return _SAMPLES.dump_json(samples, indent=1)


def golden_labels(bundle: Bundle, variant: str) -> dict[str, str]:
    """Golden photo, by its name in the bundle → its class; only those that this variant labels alone.

    Raises:
        BundleError: the samples are missing or damaged.
    """
    thresholds = bundle.manifest.variants[variant].thresholds
    found: dict[str, str] = {}
    for sample in _read_samples(bundle):
        scores = sample.probabilities.get(variant, ())
        if sample.kind == "photo" and len(scores) == len(thresholds):
            best = int(np.argmax(scores))
            limit = thresholds[best]
            if limit is not None and scores[best] >= limit:
                found[sample.file] = bundle.manifest.labels[best]
    return found


def check_golden(bundle: Bundle, model: Classifier | EdgeModel) -> int:
    """Run a bundle's golden samples through decoding and one of its networks or edge graphs, on this very machine.

    Returns:
        How many samples agreed: all of them.

    Raises:
        BundleError: there are none, or they are damaged.
        DisagreementError: one disagrees.
    """
    samples = _read_samples(bundle)
    scores = [_scores(bundle, sample, model) for sample in samples]
    edge, variant = isinstance(model, EdgeModel), model.metadata.variant
    kind = "edge " if edge else ""
    for sample, score in zip(samples, scores, strict=True):
        expected = (sample.edge if edge else sample.probabilities).get(variant, ())
        got, wanted = score.probabilities[0], np.asarray(expected, dtype=np.float32)
        if wanted.shape != got.shape:
            raise _lacks(bundle, sample, f"{kind}probabilities of {variant}")
        if not _agrees(got, wanted, variant):
            raise _differs(bundle, sample, f"{kind}probabilities", f"{np.abs(got - wanted).max():.2g}")
    known = [sample.edge_unknown if edge else sample.unknown for sample in samples]
    limit = model.metadata.unknown
    if limit is None or (edge and not any(known)):
        return len(samples)
    for sample, of in zip(samples, known, strict=True):
        if variant not in of:
            raise _lacks(bundle, sample, f"the {kind}unknown score of {variant}")
    given = np.concatenate([score.unknown for score in scores if score.unknown is not None])
    differences = relative_difference(np.array([of[variant] for of in known]), given, limit.limit)
    for sample, difference in zip(samples, differences, strict=True):
        if difference > UNKNOWN_TOLERANCE.get(variant, UNKNOWN_TOLERANCE["float32"]):
            raise _differs(bundle, sample, f"{kind}unknown scores", f"{difference:.2g} of their size")
    return len(samples)


def _scores(bundle: Bundle, sample: GoldenSample, model: Classifier | EdgeModel) -> Scores:
    data = bundle.read(sample.file)
    try:
        if isinstance(model, Classifier):
            return model.score(preprocess(data, model.metadata.preprocess)[np.newaxis])
        whole = whole_pixels(data)
    except ImageError as error:
        msg = f"{bundle.path / sample.file} ({sample.kind}) cannot be decoded on this machine: {error}"
        raise BundleError(msg) from error
    return model.run(whole).as_scores()


def _agrees(got: Probabilities, expected: Probabilities, variant: str) -> bool:
    difference = float(np.abs(got - expected).max())
    if variant != "int8":
        return difference <= FLOAT32_TOLERANCE
    second, first = np.sort(expected)[-2:]
    same_top = int(got.argmax()) == int(expected.argmax())
    return difference <= INT8_TOLERANCE and (same_top or first - second <= INT8_MARGIN)


def _lacks(bundle: Bundle, sample: GoldenSample, what: str) -> BundleError:
    return BundleError(f"{bundle.path / GOLDEN_FILE} lacks {what} for {sample.file}; export it again.")


def _differs(bundle: Bundle, sample: GoldenSample, what: str, by: str) -> DisagreementError:
    return DisagreementError(
        f"{bundle.path / sample.file} ({sample.kind}): this machine's {what} differ by {by} from those in the bundle; "
        "install the pinned versions of Pillow and onnxruntime, or export the bundle again."
    )


def _read_samples(bundle: Bundle) -> tuple[GoldenSample, ...]:
    try:
        samples = _SAMPLES.validate_json(bundle.read(GOLDEN_FILE))
    except ValidationError as error:
        faults = number_of(error.error_count(), "fault")
        msg = f"{bundle.path / GOLDEN_FILE} is not as it should be ({faults}); export it again."
        raise BundleError(msg) from error
    if not samples:
        msg = f"Expected golden samples in {bundle.path}, found none; export the bundle again."
        raise BundleError(msg)
    return samples
