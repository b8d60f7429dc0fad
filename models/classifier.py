"""Labels photos with one ONNX file on the CPU.

``Classifier`` takes squares of pixels. ``EdgeModel`` takes one photo of any size.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.bundle import open_bundle, read_file
from models.decision import Prediction, Probabilities, Rules, Scores, can_promise_text, rule_text, rules_of
from models.errors import BundleError, ImageError, InputError
from models.manifest import AUTO, ModelMetadata
from models.photo import read_photo
from models.preprocess import Pixels, PreprocessSpec, preprocess, preprocess_image
from models.session import open_session, read_metadata
from models.statistics.confidence import Thresholds

if TYPE_CHECKING:
    import onnxruntime as ort

_EDGE_OUTPUTS: Final = ("label", "confidence", "probabilities", "review")
"""The outputs of every edge graph. A graph with an out-of-distribution limit also has the output ``unknown``."""
_PHOTO_AXES: Final = 3
_CHANNELS: Final = 3
_ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class EdgeAnswer:
    """An edge graph's prediction for one photo.

    Attributes:
        label: index of the likeliest class; the first of equally likely classes.
        confidence: the probability of this class.
        probabilities: ``float32 (classes,)``, calibrated.
        review: whether the confidence is below the class's threshold for the default precision, or the
            out-of-distribution score is above the limit. Without a default precision, every photo goes to review.
        unknown: the out-of-distribution score, or None.
    """

    label: int
    confidence: float
    probabilities: Probabilities
    review: bool
    unknown: float | None

    def as_scores(self) -> Scores:
        """The scores as a batch."""
        unknown = None if self.unknown is None else np.array([self.unknown], np.float32)
        return Scores(self.probabilities[np.newaxis], unknown)


class EdgeModel:
    """A loaded edge graph.

    Args:
        session: input ``image``, ``uint8 [height, width, 3]``; outputs ``label``, ``confidence``, ``probabilities``,
            ``review``, and ``unknown`` if the metadata has an out-of-distribution limit.
        metadata: the metadata of the ONNX file.
    """

    def __init__(self, session: "ort.InferenceSession", metadata: ModelMetadata) -> None:
        limit = metadata.unknown.limit if metadata.unknown else None
        self._session = session
        self._rules = Rules(metadata.labels, metadata.thresholds, limit)
        self.metadata = metadata

    def run(self, photo: Pixels) -> EdgeAnswer:
        """Label a photo ``uint8 (height, width, 3)`` of any size, from :func:`models.preprocess.whole_pixels`.

        Raises InputError, BundleError.
        """
        if photo.dtype != np.uint8 or photo.ndim != _PHOTO_AXES or photo.shape[2] != _CHANNELS or not photo.size:
            msg = f"Expected a uint8 photo (height, width, 3), got {photo.dtype} {photo.shape}."
            raise InputError(msg)
        names = [*_EDGE_OUTPUTS, *(["unknown"] if self.metadata.unknown else [])]
        label, confidence, probabilities, review, *unknown = self._session.run(names, {"image": photo})
        score = float(unknown[0]) if unknown else None
        answer = EdgeAnswer(int(label), float(confidence), probabilities, bool(review), score)
        self._check(answer)
        return answer

    def _check(self, answer: EdgeAnswer) -> None:
        if not np.isfinite(answer.probabilities).all():
            return
        likeliest = int(answer.probabilities.argmax())
        probability = float(answer.probabilities[likeliest])
        if answer.label != likeliest or not abs(answer.confidence - probability) <= _ROUNDING:
            msg = (
                f"Expected label {likeliest} with confidence {probability:.6f} from the edge graph of "
                f"{self.metadata.variant}, got label {answer.label} with {answer.confidence:.6f}; "
                "export the model again."
            )
            raise BundleError(msg)
        (decided,) = self._rules.decide(answer.as_scores(), top_k=1).rows()
        if answer.review != decided.review:
            msg = (
                f"Expected the edge graph of {self.metadata.variant} to give review {not answer.review} for label "
                f"{answer.label} with confidence {answer.confidence:.6f}, got the opposite; "
                "export the model again."
            )
            raise BundleError(msg)


def is_edge(session: "ort.InferenceSession") -> bool:
    """Whether a model is an edge graph, which takes one photo of any size instead of a batch of squares."""
    inputs = session.get_inputs()
    return len(inputs) == 1 and len(inputs[0].shape) == _PHOTO_AXES


def load_edge(data: bytes, source: str, threads: int = 1) -> EdgeModel:
    """Load an edge graph from the bytes of an ONNX file. Errors name the path ``source``. Raises BundleError."""
    return edge_model(open_session(data, source, threads), source)


def edge_model(session: "ort.InferenceSession", source: str) -> EdgeModel:
    """Wrap a session as an edge graph. Raises BundleError for a model that is not an edge graph of Hangtag."""
    metadata = read_metadata(session, source)
    if not is_edge(session):
        msg = (
            f"Expected a model that takes whole photos (an edge graph) in {source}, but the model takes squares of "
            "pixels; use edge.onnx instead."
        )
        raise BundleError(msg)
    names = {output.name for output in session.get_outputs()}
    missing = [name for name in _EDGE_OUTPUTS if name not in names]
    if missing:
        msg = (
            f"Expected a model that takes whole photos (an edge graph) in {source}, but the model lacks "
            f"{' and '.join(missing)}; export the model again."
        )
        raise BundleError(msg)
    return EdgeModel(session, metadata)


ImageInput = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]

BATCH: Final = 8
"""Photos per call. On one thread, 32 photos per call are no faster and need three times the memory."""


class Classifier:
    """A loaded model.

    The session has an input ``image``, an output ``probabilities``, and the output ``unknown`` if the model has an
    out-of-distribution limit.

    Attributes:
        digest: SHA-256 of the bundle's manifest, or of the single ONNX file.
        precision: the caller's promised precision, or the model's default, or None.
        threshold: the caller's threshold instead of a precision, or None.

    Raises InputError.
    """

    def __init__(
        self,
        session: "ort.InferenceSession",
        metadata: ModelMetadata,
        digest: str,
        precision: float | None = None,
        threshold: float | None = None,
    ) -> None:
        self._session = session
        self.rules = rules_of(metadata, precision, threshold)
        self.metadata = metadata
        self.digest = digest
        own = metadata.precision if threshold is None else None
        self.precision = own if precision is None else precision
        self.threshold = threshold

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.metadata.labels

    @property
    def reference(self) -> str:
        """``name/version/variant@digest``: identifies the model in results and receipts."""
        info = self.metadata
        return f"{info.name}/{info.version}/{info.variant}@{self.digest[:12]}"

    @property
    def all_to_review(self) -> bool:
        """Whether every photo goes to review because no class has a threshold."""
        return self.rules.all_to_review

    @property
    def thresholds(self) -> Thresholds:
        """The threshold of each class, in the order of the labels. If None, all photos of the class go to review."""
        return self.rules.thresholds

    def threshold_of(self, label: str) -> float | None:
        """The threshold of a class, or of a node above the classes in a tree of labels."""
        return self.rules.nodes[label] if label in self.rules.nodes else self.thresholds[self.labels.index(label)]

    def asking(self, precision: float | None, threshold: float | None) -> "Classifier":
        """The same network with another precision or threshold. Raises InputError."""
        return Classifier(self._session, self.metadata, self.digest, precision, threshold)

    @property
    def rule(self) -> str:
        """A sentence that explains which photos are labelled without review."""
        rule = rule_text(self.precision, self.threshold, all_to_review=self.all_to_review)
        too_much = self.all_to_review and self.precision not in {None, self.metadata.precision}
        return f"{rule} {can_promise_text(self.metadata)}" if too_much else rule

    def predict(self, pixels: Pixels) -> Probabilities:
        """The probabilities of :meth:`score`, ``float32 (batch, classes)``."""
        return self.score(pixels).probabilities

    def score(self, pixels: Pixels) -> Scores:
        """Run the network on pixels ``uint8 (batch, S, S, 3)`` from :func:`models.preprocess.preprocess`.

        A photo's scores do not depend on the rest of the batch. Raises InputError for a wrong shape or dtype.
        """
        size = self.metadata.preprocess.size
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (size, size, 3):
            msg = f"Expected uint8 pixels (batch, {size}, {size}, 3), got {pixels.dtype} {pixels.shape}."
            raise InputError(msg)
        names = ["probabilities", "unknown"] if self.metadata.unknown else ["probabilities"]
        probabilities, *unknown = self._session.run(names, {"image": pixels})
        return Scores(np.asarray(probabilities, np.float32), np.asarray(unknown[0], np.float32) if unknown else None)

    def decide(self, scores: Scores, top_k: int = 3) -> list[Prediction]:
        """Turn scores into predictions. The first of equally likely classes wins."""
        return self.rules.decide(scores, top_k).rows()

    @overload
    def classify(self, images: ImageInput, top_k: int = 3) -> Prediction: ...

    @overload
    def classify(self, images: list[ImageInput], top_k: int = 3) -> list[Prediction]: ...

    def classify(self, images: ImageInput | list[ImageInput], top_k: int = 3) -> Prediction | list[Prediction]:
        """Label one photo, or a list of photos.

        Args:
            images: a path, the bytes of a file, a Pillow image, a ``uint8 (height, width, 3)`` RGB or ``(height,
                width)`` grey array, or a list of images.
            top_k: number of classes in the result, best first.

        Returns:
            A prediction, or a list of predictions in the order of the images.

        Raises ImageError, InputError.
        """
        if top_k < 1:
            msg = f"Expected top_k of at least 1, got {top_k}."
            raise InputError(msg)
        if not isinstance(images, list):
            return self.classify([images], top_k)[0]
        return [
            prediction
            for start in range(0, len(images), BATCH)
            for prediction in self.decide(
                self.score(np.stack([self._pixels(image) for image in images[start : start + BATCH]])), top_k
            )
        ]

    def _pixels(self, image: ImageInput) -> Pixels:
        spec = self.metadata.preprocess
        match image:
            case str() | Path():
                return _preprocess_file(Path(image), spec)
            case bytes():
                return preprocess(image, spec)
            case Image.Image():
                return preprocess_image(image, spec)
            case np.ndarray():
                return preprocess_image(_image_of(image), spec)
            case _:
                msg = f"Expected a path, bytes, a Pillow image or a uint8 array, got {type(image).__name__}."
                raise InputError(msg)


def _preprocess_file(path: Path, spec: PreprocessSpec) -> Pixels:
    try:
        return preprocess(read_photo(path), spec)
    except ImageError as error:
        if str(path) in str(error):
            raise
        msg = f"{path}: {error}"
        raise ImageError(msg, error.fault) from error


def _image_of(array: npt.NDArray[np.uint8]) -> Image.Image:
    colour = array.ndim == 3 and array.shape[2] == 3  # noqa: PLR2004 - height, width, RGB
    if array.dtype != np.uint8 or not (colour or array.ndim == 2):  # noqa: PLR2004 - height, width
        msg = f"Expected a uint8 array (height, width, 3) or (height, width), got {array.dtype} {array.shape}."
        raise InputError(msg)
    return Image.fromarray(array)


def load(
    path: str | Path,
    variant: str | None = None,
    threads: int = 1,
    precision: float | None = None,
    threshold: float | None = None,
) -> Classifier:
    """Load a bundle, or a single ``.onnx`` file that Hangtag exported.

    A model that promises no precision sends all photos to review, unless you choose a threshold.

    Args:
        path: a bundle folder or an ONNX file.
        variant: the model of the bundle to use. ``auto`` and None mean the bundle's default.
        threads: number of threads per call. For many photos, one single-threaded process per core is faster.
        precision: the precision to promise for labels without review, such as 0.98. Must be one of the model's
            precisions. Default: the model's default precision.
        threshold: photos of any class with at least this confidence (above 0, at most 1) need no review, within the
            out-of-distribution limit. Promises no precision. Cannot be combined with ``precision``.

    Raises BundleError, InputError.
    """
    place = Path(path)
    opened = _open_file(place, variant, threads) if place.is_file() else _open_bundle(place, variant, threads)
    session, metadata, digest = opened
    if is_edge(session):
        msg = (
            f"Expected a model that takes squares of pixels in {place}, but got an edge graph, which takes whole "
            "photos; pass the bundle, or its model.onnx."
        )
        raise BundleError(msg)
    return Classifier(session, metadata, digest, precision, threshold)


_Opened = tuple["ort.InferenceSession", ModelMetadata, str]


def _open_bundle(path: Path, variant: str | None, threads: int) -> _Opened:
    bundle = open_bundle(path)
    chosen = bundle.manifest.default_variant if variant is None or variant == AUTO else variant
    if chosen not in bundle.manifest.variants:
        msg = f"Expected one of {', '.join(sorted(bundle.manifest.variants))} in {path}, got {chosen}."
        raise InputError(msg)
    bundle.check_labels()
    file = bundle.manifest.variants[chosen].file
    session = open_session(bundle.read(file), str(path / file), threads)
    metadata = read_metadata(session, str(path / file))
    bundle.check_metadata(metadata, chosen, file)
    return session, metadata, bundle.digest


def _open_file(path: Path, variant: str | None, threads: int) -> _Opened:
    data = read_file(path)
    session = open_session(data, str(path), threads)
    metadata = read_metadata(session, str(path))
    if variant not in {None, AUTO, metadata.variant}:
        msg = f"Expected {path} to be {variant}, but it is {metadata.variant}; pass another file, or the bundle."
        raise InputError(msg)
    return session, metadata, hashlib.sha256(data).hexdigest()


def load_network(data: bytes, source: str, threads: int = 1) -> Classifier | EdgeModel:
    """Load a single ONNX file, or an edge graph. Errors name the path ``source``. Raises BundleError."""
    session = open_session(data, source, threads)
    return edge_model(session, source) if is_edge(session) else Classifier(session, read_metadata(session, source), "")
