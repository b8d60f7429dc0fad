"""Golden samples: photos in a bundle, with the scores that each exported model gave for them."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from models.bundle import Bundle
from models.classifier import Classifier, EdgeModel
from models.decision import Probabilities, Scores
from models.errors import BundleError, DisagreementError, ImageError
from models.manifest import INT8, parse_file
from models.preprocess import preprocess, whole_pixels
from models.process import usable_cores
from models.statistics.confidence import StrictModel
from models.statistics.out_of_distribution import relative_difference

GOLDEN_FILE: Final = "golden/expected.json"
_TOLERANCE: Final = 1e-3
_INT8_TOLERANCE: Final = 0.05
_INT8_MARGIN: Final = 0.1
UNKNOWN_TOLERANCE: Final = {"float32": 0.01, "int8": 0.1}
"""The largest allowed relative difference of an out-of-distribution score (:func:`relative_difference`)."""


class GoldenAnswer(StrictModel):
    """A model's scores for a photo.

    Attributes:
        probabilities: one per class, in label order.
        unknown: the out-of-distribution score, or None.
    """

    probabilities: Annotated[tuple[float, ...], Field(strict=False)]
    unknown: float | None


class GoldenSample(StrictModel):
    """A photo, and the answer of each model.

    Attributes:
        file: name of the photo inside the bundle.
        kind: ``photo``, ``non_square``, ``exif_rotated`` or ``transparent``.
        answers: the answer of each ONNX file. An edge graph gets :func:`models.preprocess.whole_pixels`.
    """

    file: str
    kind: str
    answers: dict[str, GoldenAnswer]


class GoldenSamples(StrictModel):
    """The contents of ``golden/expected.json``."""

    schema_version: Literal[1] = 1
    samples: Annotated[tuple[GoldenSample, ...], Field(min_length=1, strict=False)]


def golden_labels(bundle: Bundle, variant: str) -> dict[str, str]:
    """The classes of the golden photos that need no review, by file name. Raises BundleError."""
    file, thresholds = bundle.manifest.variants[variant].file, bundle.manifest.metadata(variant).thresholds
    labels: dict[str, str] = {}
    for sample in (sample for sample in _read_samples(bundle) if sample.kind == "photo"):
        scores = _answer(bundle, sample, file, len(thresholds)).probabilities
        best = int(np.argmax(scores))
        limit = thresholds[best]
        if limit is not None and scores[best] >= limit:
            labels[sample.file] = bundle.manifest.labels[best]
    return labels


def check_golden(bundle: Bundle, model: Classifier | EdgeModel) -> int:
    """Compare a model's answers on this machine with a bundle's golden samples.

    Returns:
        The number of samples.

    Raises BundleError, DisagreementError.
    """
    samples, variant = _read_samples(bundle), model.metadata.variant
    listed = bundle.manifest.variants[variant]
    file = (listed.edge or "") if isinstance(model, EdgeModel) else listed.file
    answers = [_answer(bundle, sample, file, len(model.metadata.labels)) for sample in samples]
    with ThreadPoolExecutor(usable_cores()) as threads:  # decoding and ONNX Runtime release the GIL
        scores = list(threads.map(partial(_scores, bundle, model), samples))
    for sample, answer, score in zip(samples, answers, scores, strict=True):
        got, expected = score.probabilities[0], np.asarray(answer.probabilities, np.float32)
        if not _agrees(got, expected, variant):
            raise _differs(bundle, sample, variant, file, "probabilities", f"{np.abs(got - expected).max():.2g}")
    if limit := model.metadata.unknown:
        expected = np.array([np.nan if answer.unknown is None else answer.unknown for answer in answers])
        actual = np.concatenate([score.unknown for score in scores if score.unknown is not None])
        differences = relative_difference(expected, actual, limit.limit)
        for sample, difference in zip(samples, differences, strict=True):
            if difference > UNKNOWN_TOLERANCE[variant]:
                what = "out-of-distribution scores"
                raise _differs(bundle, sample, variant, file, what, f"{difference:.2g} of their size")
    return len(samples)


def _answer(bundle: Bundle, sample: GoldenSample, file: str, classes: int) -> GoldenAnswer:
    answer = sample.answers.get(file)
    if answer is None or len(answer.probabilities) != classes:
        msg = f"{bundle.path / GOLDEN_FILE} lacks probabilities of {file} for {sample.file}; export the model again."
        raise BundleError(msg)
    return answer


def _scores(bundle: Bundle, model: Classifier | EdgeModel, sample: GoldenSample) -> Scores:
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
    if variant != INT8:
        return difference <= _TOLERANCE
    second, first = np.sort(expected)[-2:]
    same_top = int(got.argmax()) == int(expected.argmax())
    return difference <= _INT8_TOLERANCE and (same_top or first - second <= _INT8_MARGIN)


def _differs(bundle: Bundle, sample: GoldenSample, variant: str, file: str, what: str, by: str) -> DisagreementError:
    instead = "pass --variant float32 to hangtag label or submit, or " if variant == INT8 else ""
    return DisagreementError(
        f"{bundle.path / file} ({variant}), {sample.file} ({sample.kind}): this machine's {what} differ by {by} from "
        f"those in the bundle; {instead}install the pinned versions of Pillow and onnxruntime, or export the bundle "
        "again."
    )


def _read_samples(bundle: Bundle) -> tuple[GoldenSample, ...]:
    return parse_file(GoldenSamples, bundle.read(GOLDEN_FILE), str(bundle.path / GOLDEN_FILE)).samples
