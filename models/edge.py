"""A model that takes one photo of any size: resizing and fitting are inside its graph (``edge.onnx``)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.decision import Probabilities, Rules, Scores
from models.errors import BundleError, InputError
from models.manifest import ModelMetadata
from models.preprocess import Pixels
from models.session import open_session, read_metadata

if TYPE_CHECKING:
    import onnxruntime as ort

_EDGE_OUTPUTS: Final = ("label", "confidence", "probabilities", "review")
"""The outputs that every graph has; ``unknown`` is a further one if the metadata has a limit for it."""
_PHOTO_AXES: Final = 3
_CHANNELS: Final = 3
_ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class EdgeAnswer:
    """What the graph predicts for one photo.

    Attributes:
        label: index of the likeliest class; of equal ones the earlier.
        confidence: its probability.
        probabilities: ``float32 (classes,)``, calibrated.
        review: whether a person should look: the confidence is under the class's threshold, or the photo unlike what
            the model knows. The thresholds are the graph's own: those of the precision that the model promises by its
            own choice; where it promises none, every photo needs a look.
        unknown: the out-of-distribution score; None if the graph gives none.
    """

    label: int
    confidence: float
    probabilities: Probabilities
    review: bool
    unknown: float | None

    def as_scores(self) -> Scores:
        """The answer as scores of a batch of one photo."""
        unknown = None if self.unknown is None else np.array([self.unknown], np.float32)
        return Scores(self.probabilities[np.newaxis], unknown)


class EdgeModel:
    """A loaded edge graph.

    Args:
        session: input ``image``, ``uint8 [height, width, 3]``; outputs ``label``, ``confidence``, ``probabilities``,
            ``review`` and, where the metadata has a limit for it, ``unknown``.
        metadata: what the ONNX file says of itself.
    """

    def __init__(self, session: "ort.InferenceSession", metadata: ModelMetadata) -> None:
        limit = metadata.unknown.limit if metadata.unknown else None
        self._session = session
        self._rules = Rules(metadata.labels, metadata.thresholds, limit)
        self.metadata = metadata

    def run(self, photo: Pixels) -> EdgeAnswer:
        """Label a photo ``uint8 (height, width, 3)`` of any size, as :func:`models.preprocess.whole_pixels` makes it.

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
                f"Expected label {likeliest} with confidence {probability:.6f} of the edge graph of "
                f"{self.metadata.variant}, by its probabilities, got label {answer.label} with "
                f"{answer.confidence:.6f}; export it again."
            )
            raise BundleError(msg)
        (decided,) = self._rules.decide(answer.as_scores(), top_k=1)
        if answer.review != decided.review:
            msg = (
                f"Expected review to be {not answer.review} where the edge graph of {self.metadata.variant} says "
                f"label {answer.label} with {answer.confidence:.6f}, by its thresholds; export it again."
            )
            raise BundleError(msg)


def is_edge(session: "ort.InferenceSession") -> bool:
    """Whether a graph takes one photo of any size rather than a batch of squares."""
    inputs = session.get_inputs()
    return len(inputs) == 1 and len(inputs[0].shape) == _PHOTO_AXES


def load_edge(data: bytes, source: str, threads: int = 1) -> EdgeModel:
    """Load an edge graph from the bytes of an ONNX file; ``source`` is its path, for messages. Raises BundleError."""
    return edge_model(open_session(data, source, threads), source)


def edge_model(session: "ort.InferenceSession", source: str) -> EdgeModel:
    """The edge graph of a session; BundleError if Hangtag did not export it, or it is not an edge graph."""
    metadata = read_metadata(session, source)
    if not is_edge(session):
        msg = f"Expected an edge graph in {source}, it takes squares of pixels; name edge.onnx instead."
        raise BundleError(msg)
    given = {output.name for output in session.get_outputs()}
    missing = [name for name in _EDGE_OUTPUTS if name not in given]
    if missing:
        msg = f"Expected an edge graph in {source}, it does not give {' and '.join(missing)}; export it again."
        raise BundleError(msg)
    return EdgeModel(session, metadata)
