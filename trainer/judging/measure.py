"""A run or a bundle, measured on labelled photos."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.classifier import BATCH, Probabilities, load
from models.errors import DataError, InputError
from models.preprocess import Pixels, PreprocessSpec
from trainer.data.dataset import Split, read_dataset
from trainer.data.photo_cache import PixelStore
from trainer.judging.figures import Figures, score
from trainer.splits.assigned import read_splits
from trainer.splits.prepare import decode_all

__all__ = ["Measurement", "measure"]

Predict = Callable[[Pixels], Probabilities]


@dataclass(frozen=True)
class _Model:
    predict: Predict
    spec: PreprocessSpec
    classes: tuple[str, ...]
    learned_from: frozenset[str] | None


@dataclass(frozen=True)
class Measurement:
    """Figures, and the photos that they describe.

    Attributes:
        unread: photos that could not be read.
        learned_from: photos left out because the run saw them in training or validation; None for a bundle, which does
            not know them.
        whole: whether every photo counted, since the data has no test split.
    """

    figures: Figures
    unread: int
    learned_from: int | None
    whole: bool


def measure(model_path: Path, data: Path, cache: Path) -> Measurement:
    """Measure a run, a bundle or a lone ONNX file.

    The test split of the data counts where there is one, else all photos. Those that a run has learned from do not.

    Raises:
        DataError: a class is unknown to the model, or no photo is left to measure it on.
    """
    model = _open_model(model_path)
    dataset = read_dataset(data)
    test = [photo for photo in dataset.photos if photo.split is Split.TEST]
    photos = test or list(dataset.photos)
    unknown = sorted({photo.label for photo in photos} - set(model.classes))
    if unknown:
        msg = f"{model_path} does not know {', '.join(unknown)}; it knows {', '.join(model.classes)}."
        raise DataError(msg)
    store = PixelStore(cache, model.spec)
    readable, unread = decode_all(photos, store)
    fresh = [(photo, sha256) for photo, sha256 in readable if sha256 not in (model.learned_from or ())]
    if not fresh:
        msg = f"Expected photos in {data} that {model_path} has not learned from, found none; bring others."
        raise DataError(msg)
    sha256s = [sha256 for _, sha256 in fresh]
    parts = [model.predict(store.take(sha256s[i : i + BATCH])) for i in range(0, len(sha256s), BATCH)]
    truths = np.array([model.classes.index(photo.label) for photo, _ in fresh], np.intp)
    figures = score(np.concatenate(parts), truths, model.classes)
    learned_from = None if model.learned_from is None else len(readable) - len(fresh)
    return Measurement(figures, len(unread), learned_from, whole=not test)


def _open_model(path: Path) -> _Model:
    if not (path / "args.json").is_file():
        classifier = load(path)
        return _Model(classifier.predict, classifier.metadata.preprocess, classifier.labels, None)
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    import keras

    from models.statistics.calibration import calibrated, class_logits
    from trainer.run import open_run

    run = open_run(path)
    if not run.confidence.is_file():
        msg = f"{path} has not been judged yet; go on with it: hangtag train --resume {path}"
        raise InputError(msg)
    network = keras.saving.load_model(run.best, compile=False)
    logits = keras.Model(network.inputs, network.get_layer("logits").output)
    temperature = run.read_confidence().temperature

    def predict(pixels: Pixels) -> npt.NDArray[np.float32]:
        return calibrated(class_logits(logits.predict_on_batch(pixels)), temperature)

    args = run.args()
    learned_from = frozenset(
        photo.sha256 for photo in read_splits(run.splits) if photo.present and photo.split is not Split.TEST
    )
    return _Model(predict, args.preprocess, args.classes, learned_from)
