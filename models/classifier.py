"""Photos in, labels out, with one ONNX file on the CPU."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, overload

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

from models.bundle import open_bundle
from models.errors import BundleError, ImageError, InputError
from models.manifest import METADATA_KEY, ModelMetadata, parse_metadata
from models.photo import read_photo
from models.preprocess import Pixels, preprocess, preprocess_image

__all__ = ["BATCH", "Classifier", "ImageInput", "Prediction", "Probabilities", "load"]

ImageInput = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]

BATCH: Final = 8
"""Photos in one call: on one thread as fast as 32 is, with a third of the memory (docs/measurements.md)."""
_QUIET: Final = 3


@dataclass(frozen=True)
class Prediction:
    """What the model says of one photo.

    Attributes:
        label: the likeliest class.
        confidence: its probability.
        review: whether the confidence is under the class's threshold, so that a person should look.
        top_k: the likeliest classes with their probabilities, best first.
    """

    label: str
    confidence: float
    review: bool
    top_k: tuple[tuple[str, float], ...]


class Classifier:
    """A loaded model.

    Args:
        session: an ONNX Runtime session whose input is ``image`` and whose output is ``probabilities``.
        metadata: what the ONNX file says of itself.
        digest: SHA-256 of the bundle's manifest, or of the lone ONNX file.
    """

    def __init__(self, session: ort.InferenceSession, metadata: ModelMetadata, digest: str) -> None:
        self._session = session
        self._thresholds = np.asarray(metadata.thresholds, dtype=np.float32)
        self.metadata = metadata
        self.digest = digest

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; the position is the column of the probabilities."""
        return self.metadata.labels

    @property
    def reference(self) -> str:
        """``name/version/variant@digest``: names the model in results and receipts."""
        info = self.metadata
        return f"{info.name}/{info.version}/{info.variant}@{self.digest[:12]}"

    def predict(self, pixels: Pixels) -> Probabilities:
        """Run the network.

        Args:
            pixels: ``uint8 (batch, S, S, 3)`` as :func:`models.preprocess.preprocess` makes them.

        Returns:
            ``float32 (batch, classes)``; rows sum to 1.

        Raises:
            InputError: the shape or the dtype is another.
        """
        size = self.metadata.preprocess.size
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (size, size, 3):
            msg = f"Expected uint8 pixels (batch, {size}, {size}, 3), got {pixels.dtype} {pixels.shape}."
            raise InputError(msg)
        return np.asarray(self._session.run(["probabilities"], {"image": pixels})[0], dtype=np.float32)

    def decide(self, probabilities: Probabilities, top_k: int = 3) -> list[Prediction]:
        """Turn probabilities ``(batch, classes)`` into predictions; equal ones go to the earlier class."""
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        return [self._prediction(row, best) for row, best in zip(probabilities, order, strict=True)]

    def _prediction(self, row: Probabilities, best: npt.NDArray[np.intp]) -> Prediction:
        first = int(best[0])
        return Prediction(
            label=self.labels[first],
            confidence=float(row[first]),
            review=bool(row[first] < self._thresholds[first]),
            top_k=tuple((self.labels[i], float(row[i])) for i in best),
        )

    @overload
    def classify(self, images: ImageInput, top_k: int = 3) -> Prediction: ...

    @overload
    def classify(self, images: list[ImageInput], top_k: int = 3) -> list[Prediction]: ...

    def classify(self, images: ImageInput | list[ImageInput], top_k: int = 3) -> Prediction | list[Prediction]:
        """Label one photo, or a list of them.

        Args:
            images: a path, the bytes of a file, a Pillow image, a ``uint8 (height, width, 3)`` RGB or
                ``(height, width)`` grey array, or a list of any of these.
            top_k: how many classes to name, best first.

        Returns:
            A prediction, or one for each photo of a list, in its order.

        Raises:
            ImageError: a photo is missing or cannot be read.
            InputError: an input is of another type or shape.
        """
        if top_k < 1:
            msg = f"Expected top_k of at least 1, got {top_k}."
            raise InputError(msg)
        if not isinstance(images, list):
            return self._classify_batch([images], top_k)[0]
        return [
            prediction
            for start in range(0, len(images), BATCH)
            for prediction in self._classify_batch(images[start : start + BATCH], top_k)
        ]

    def _classify_batch(self, images: Sequence[ImageInput], top_k: int) -> list[Prediction]:
        return self.decide(self.predict(np.stack([self._pixels(image) for image in images])), top_k)

    def _pixels(self, image: ImageInput) -> Pixels:
        spec = self.metadata.preprocess
        match image:
            case str() | Path():
                return _preprocess_file(Path(image), self)
            case bytes():
                return preprocess(image, spec)
            case Image.Image():
                return preprocess_image(image, spec)
            case np.ndarray():
                return preprocess_image(_image_of(image), spec)
            case _:
                msg = f"Expected a path, bytes, a Pillow image or a uint8 array, got {type(image).__name__}."
                raise InputError(msg)


def _preprocess_file(path: Path, classifier: Classifier) -> Pixels:
    try:
        return preprocess(read_photo(path), classifier.metadata.preprocess)
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


def load(path: str | Path, variant: str | None = None, threads: int = 1) -> Classifier:
    """Load a bundle, or a lone ``.onnx`` file that Hangtag exported.

    Args:
        path: a bundle folder or an ONNX file.
        variant: which of the bundle's models to use; its default where none is named.
        threads: how many threads one call may use; a process per core with one thread each is faster in bulk.

    Raises:
        BundleError: the bundle is damaged, incomplete or disagrees with itself, or the file is no model of ours.
        InputError: the bundle has no such variant.
    """
    place = Path(path)
    return _load_file(place, variant, threads) if place.is_file() else _load_bundle(place, variant, threads)


def _load_bundle(path: Path, variant: str | None, threads: int) -> Classifier:
    bundle = open_bundle(path)
    chosen = variant or bundle.manifest.default_variant
    if chosen not in bundle.manifest.variants:
        msg = f"Expected one of {', '.join(sorted(bundle.manifest.variants))} in {path}, got {chosen}."
        raise InputError(msg)
    bundle.check_labels()
    file = bundle.manifest.variants[chosen].file
    session = _session(bundle.read(file), str(path / file), threads)
    metadata = _metadata(session, str(path / file))
    if metadata != bundle.manifest.metadata(chosen):
        different = [k for k, v in bundle.manifest.metadata(chosen) if getattr(metadata, k) != v]
        msg = f"The manifest of {path} and the metadata of {file} disagree on {', '.join(different)}; export it again."
        raise BundleError(msg)
    return Classifier(session, metadata, bundle.digest)


def _load_file(path: Path, variant: str | None, threads: int) -> Classifier:
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"Expected to read {path}, the system answered {error}."
        raise BundleError(msg) from error
    session = _session(data, str(path), threads)
    metadata = _metadata(session, str(path))
    if variant not in {None, metadata.variant}:
        msg = f"Expected {path} to be {variant}, it is {metadata.variant}; name another file, or the bundle."
        raise InputError(msg)
    return Classifier(session, metadata, hashlib.sha256(data).hexdigest())


def _session(data: bytes, source: str, threads: int) -> ort.InferenceSession:
    ort.disable_telemetry_events()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        msg = f"Expected an ONNX model in {source}, ONNX Runtime refused it ({error}); export it again."
        raise BundleError(msg) from error


def _metadata(session: ort.InferenceSession, source: str) -> ModelMetadata:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        msg = f"Expected a model that Hangtag exported in {source}, it carries no {METADATA_KEY} metadata."
        raise BundleError(msg)
    metadata = parse_metadata(text, source)
    columns = session.get_outputs()[0].shape[-1]
    if columns != len(metadata.labels):
        msg = f"{source} gives {columns} probabilities, but names {len(metadata.labels)} labels; export it again."
        raise BundleError(msg)
    return metadata
