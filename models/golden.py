"""Golden samples: raw photos in a bundle with the probabilities that the exported model gave for them."""

from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from models.bundle import Bundle
from models.classifier import Classifier, Probabilities
from models.edge import EdgeModel
from models.errors import BundleError, ImageError
from models.manifest import ModelMetadata
from models.preprocess import Pixels, opened, preprocess, whole_rgb
from models.statistics.out_of_distribution import relative_difference
from models.text import number_of

__all__ = ["GOLDEN_FILE", "GoldenSample", "check_golden", "check_golden_edge", "dump_golden"]

GOLDEN_FILE: Final = "golden/expected.json"
FLOAT32_TOLERANCE: Final = 1e-3
INT8_TOLERANCE: Final = 0.05
INT8_MARGIN: Final = 0.1
UNKNOWN_TOLERANCE: Final = {"float32": 0.01, "int8": 0.1}
"""How far an unknown score may be off, as a part of its size (:func:`relative_difference`)."""


class GoldenSample(BaseModel):
    """One photo and what each variant made of it.

    Attributes:
        file: name of the photo inside the bundle.
        kind: why it is there (``photo``, ``non_square``, ``exif_rotated``, ``transparent`` …).
        probabilities: variant → one probability a class, in label order.
        unknown: variant → the unknown score; without the variants that have no such score.
        edge: variant → the probabilities that its edge graph gave for the whole photo
            (:func:`models.preprocess.whole_rgb`); without the variants that have no such graph.
        edge_unknown: variant → the unknown score that it gave; empty in bundles of before there were any.
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


def check_golden(bundle: Bundle, classifier: Classifier) -> int:
    """Run a bundle's golden samples through decoding and the network, on this very machine.

    Returns:
        How many samples agreed: all of them.

    Raises:
        BundleError: there are none, or one disagrees.
    """
    samples = _read_samples(bundle)
    scores = [classifier.score(_pixels(bundle, sample, classifier)[np.newaxis]) for sample in samples]
    for sample, score in zip(samples, scores, strict=True):
        variant = classifier.metadata.variant
        _check_probabilities(bundle, sample, sample.probabilities, score.probabilities[0], variant)
    if classifier.metadata.unknown:
        got = np.concatenate([score.unknown for score in scores if score.unknown is not None])
        _check_unknown(bundle, samples, [sample.unknown for sample in samples], got, classifier.metadata)
    return len(samples)


def check_golden_edge(bundle: Bundle, edge: EdgeModel) -> int:
    """Run a bundle's golden samples, whole, through an edge graph, on this very machine.

    Args:
        bundle: the folder.
        edge: the graph of one of its variants, whose tolerance counts.

    Returns:
        How many samples agreed: all of them.

    Raises:
        BundleError: there are none, or one disagrees.
    """
    samples, variant = _read_samples(bundle), edge.metadata.variant
    answers = [edge.run(_whole(bundle, sample)) for sample in samples]
    for sample, answer in zip(samples, answers, strict=True):
        _check_probabilities(bundle, sample, sample.edge, answer.probabilities, variant, "edge ")
    if edge.metadata.unknown and any(sample.edge_unknown for sample in samples):
        got = np.array([answer.unknown for answer in answers])
        _check_unknown(bundle, samples, [sample.edge_unknown for sample in samples], got, edge.metadata, "edge ")
    return len(samples)


def _check_probabilities(
    bundle: Bundle,
    sample: GoldenSample,
    golden: dict[str, tuple[float, ...]],
    got: Probabilities,
    variant: str,
    kind: str = "",
) -> None:
    expected = np.asarray(golden.get(variant, ()), dtype=np.float32)
    if expected.shape != got.shape:
        raise _lacks(bundle, sample, f"{kind}probabilities of {variant}")
    if not _agrees(got, expected, variant):
        raise _differs(bundle, sample, f"{kind}probabilities", f"{np.abs(got - expected).max():.2g}")


def _check_unknown(
    bundle: Bundle,
    samples: tuple[GoldenSample, ...],
    golden: list[dict[str, float]],
    got: npt.NDArray[np.floating[Any]],
    metadata: ModelMetadata,
    kind: str = "",
) -> None:
    variant, limit = metadata.variant, metadata.unknown.limit if metadata.unknown else 0.0
    for sample, known in zip(samples, golden, strict=True):
        if variant not in known:
            raise _lacks(bundle, sample, f"the {kind}unknown score of {variant}")
    expected = np.array([known[variant] for known in golden])
    for sample, difference in zip(samples, relative_difference(expected, got, limit), strict=True):
        if difference > UNKNOWN_TOLERANCE.get(variant, UNKNOWN_TOLERANCE["float32"]):
            raise _differs(bundle, sample, f"{kind}unknown scores", f"{difference:.2g} of their size")


def _lacks(bundle: Bundle, sample: GoldenSample, what: str) -> BundleError:
    return BundleError(f"{bundle.path / GOLDEN_FILE} lacks {what} for {sample.file}; export it again.")


def _differs(bundle: Bundle, sample: GoldenSample, what: str, by: str) -> BundleError:
    return BundleError(
        f"{bundle.path / sample.file} ({sample.kind}): this machine's {what} differ by {by} from those in the bundle; "
        "install the pinned versions of Pillow and onnxruntime, or export the bundle again."
    )


def _pixels(bundle: Bundle, sample: GoldenSample, classifier: Classifier) -> Pixels:
    try:
        return preprocess(bundle.read(sample.file), classifier.metadata.preprocess)
    except ImageError as error:
        raise _undecodable(bundle, sample, error) from error


def _whole(bundle: Bundle, sample: GoldenSample) -> Pixels:
    try:
        with opened(bundle.read(sample.file)) as image:
            return np.asarray(whole_rgb(image))
    except ImageError as error:
        raise _undecodable(bundle, sample, error) from error


def _undecodable(bundle: Bundle, sample: GoldenSample, error: ImageError) -> BundleError:
    return BundleError(f"{bundle.path / sample.file} ({sample.kind}) cannot be decoded on this machine: {error}")


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


def _agrees(got: Probabilities, expected: Probabilities, variant: str) -> bool:
    difference = float(np.abs(got - expected).max())
    if variant != "int8":
        return difference <= FLOAT32_TOLERANCE
    second, first = np.sort(expected)[-2:]
    same_top = int(got.argmax()) == int(expected.argmax())
    return difference <= INT8_TOLERANCE and (same_top or first - second <= INT8_MARGIN)
