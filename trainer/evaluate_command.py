"""A run or a bundle, measured on labelled photos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from models.classifier import Probabilities, load
from models.errors import DataError, ImageError, InputError
from models.photo import read_photo
from models.preprocess import Pixels, PreprocessSpec, preprocess
from trainer.console import figures_table
from trainer.dataset import Dataset, LabeledPhoto, Split, read_dataset
from trainer.evaluate import Figures, class_probabilities, score

__all__ = ["evaluate_and_show", "evaluate_model"]

BATCH = 64

Predict = Callable[[Pixels], Probabilities]


def evaluate_and_show(model: Path, data: Path, *, as_json: bool) -> None:
    """Evaluate, and print a table or JSON on stdout."""
    figures, unread = evaluate_model(model, data)
    if as_json:
        print(figures.model_dump_json(indent=1))
        return
    console = Console()
    console.print(figures_table(figures, f"{model} on {figures.n:,} photos of {data}"))
    console.print(f"accuracy [bold]{figures.accuracy:.4f}[/bold]", highlight=False)
    if unread:
        console.print(f"{unread} photos could not be read and do not count", style="yellow")


def evaluate_model(model: Path, data: Path) -> tuple[Figures, int]:
    """Measure a run, a bundle or a lone ONNX file.

    Args:
        model: what to measure.
        data: labelled photos; their test split where there is one, else all of them.

    Returns:
        The figures, and how many photos could not be read.

    Raises:
        DataError: a class is unknown to the model, or no photo can be read.
    """
    predict, spec, classes = _open_model(model)
    photos = _chosen(read_dataset(data))
    unknown = sorted({photo.label for photo in photos} - set(classes))
    if unknown:
        msg = f"{model} does not know {', '.join(unknown)}; it knows {', '.join(classes)}."
        raise DataError(msg)
    probabilities, truths = _predict_all(photos, predict, spec)
    figures = score(probabilities, np.array([classes.index(truth) for truth in truths], np.intp), classes)
    if figures is None:
        msg = f"Expected readable photos in {data}, found none."
        raise DataError(msg)
    return figures, len(photos) - len(truths)


def _open_model(model: Path) -> tuple[Predict, PreprocessSpec, tuple[str, ...]]:
    if not (model / "args.json").is_file():
        classifier = load(model)
        return classifier.predict, classifier.metadata.preprocess, classifier.labels
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    import keras

    from trainer.run import open_run

    run = open_run(model)
    if not run.best.is_file():
        msg = f"{model} has no whole epoch yet; go on with it: hangtag train --resume {model}"
        raise InputError(msg)
    network = keras.saving.load_model(run.best, compile=False)

    def predict(pixels: Pixels) -> npt.NDArray[np.float32]:
        return class_probabilities(network.predict(pixels, verbose=0))

    args = run.args()
    return predict, args.preprocess, args.classes


def _chosen(dataset: Dataset) -> list[LabeledPhoto]:
    test = [photo for photo in dataset.photos if photo.split is Split.TEST]
    return test or list(dataset.photos)


def _predict_all(photos: list[LabeledPhoto], predict: Predict, spec: PreprocessSpec) -> tuple[Probabilities, list[str]]:
    parts: list[Probabilities] = []
    truths: list[str] = []
    for start in range(0, len(photos), BATCH):
        read = [
            (photo, pixels) for photo in photos[start : start + BATCH] if (pixels := _pixels(photo, spec)) is not None
        ]
        if read:
            parts.append(predict(np.stack([pixels for _, pixels in read])))
            truths.extend(photo.label for photo, _ in read)
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32), truths


def _pixels(photo: LabeledPhoto, spec: PreprocessSpec) -> Pixels | None:
    try:
        return preprocess(read_photo(photo.path), spec)
    except ImageError:
        return None
