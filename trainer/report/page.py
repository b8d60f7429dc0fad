"""The HTML report of a training, and its pictures: augmented photos, heat maps (Grad-CAM)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from models.preprocess import Pixels
from models.statistics.calibration import calibrated, reliability
from models.statistics.confidence import PrecisionTarget
from pages.charts import matrix_png
from pages.render import render
from pages.tiles import data_uri, jpeg_uri
from trainer.data.dataset import Exclusion, Split
from trainer.judging.evaluate import Judged, SplitPredictions
from trainer.judging.figures import ClassFigures, Figures, distances_text
from trainer.learning.training import Training
from trainer.report.material import ReportMaterial

_MOST_CLASSES: Final = 30
_MOST_TILES: Final = 24
_MOST_PAIRS: Final = 10
_MOST_NAMED: Final = 20
_EXAMPLES: Final = 3
_SIDE: Final = 160
_MOST_BYTES: Final = 5_500
_LUMA: Final = np.array((0.299, 0.587, 0.114), np.float32)
_COLOURED: Final = 0.75
_HEATS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_COLOURS: Final = np.array([(13, 8, 135), (126, 3, 168), (204, 71, 120), (248, 149, 64), (240, 249, 33)])
"""Evenly spaced colours of matplotlib's plasma (blue, red, yellow), which colour-blind people can distinguish."""

_Values = dict[str, object]


def report_page(material: ReportMaterial, links: Mapping[str, str] = MappingProxyType({})) -> str:
    """The HTML report of a training, at most about two megabytes. ``links`` maps link texts to relative URLs."""
    judged, classes = material.shown, material.args.classes
    ece_before = material.evaluation.ece_before.of(material.split)
    return render(
        "training.html",
        material=material,
        links=links,
        ece_before=ece_before,
        thresholds=_thresholds(material),
        away=distances_text(away.of(material.split) or {}) if (away := material.evaluation.distances) else "",
        mistakes=_mistakes(material),
        suspects=_suspects(material),
        classes=_classes(material.figures),
        confusion=_confusion(material.matrix, classes),
        reliability=_reliability(judged, ece_before, material.figures),
        best=material.best,
        data=_data(material),
        set_aside=_set_aside(material.excluded),
        made={name.replace("_", " "): value for name, value in material.settings.items()}
        | {"made with": material.made_with},
        batch=[(_uri(photo), label) for photo, label in material.train_batch],
    )


def _thresholds(material: ReportMaterial) -> _Values:
    targets = material.confidence.targets
    if not targets:
        return {}
    ranked = material.ruling or targets[0]

    def rank(place: int) -> tuple[bool, float]:
        coverage = ranked.class_coverage[place]
        return coverage is None, coverage or 0.0

    def cells(place: int) -> list[tuple[float | None, float | None, int]]:
        return [(one.class_coverage[place], one.thresholds[place], one.rows[place]) for one in targets]

    names = material.args.classes
    order = sorted(range(len(names)), key=rank)[:_MOST_CLASSES]
    return {
        "targets": [(target, *_tested(material, target)) for target in targets],
        "is_tested": Judged.TEST in material.judged,
        "found_on": material.found_on,
        "classes": [(names[place], cells(place)) for place in order],
    }


def _tested(material: ReportMaterial, target: PrecisionTarget) -> tuple[object, bool]:
    achieved = material.realised(target, Judged.TEST)
    missed = achieved is not None and achieved.precision_95 is not None and achieved.precision_95[1] < target.precision
    return achieved, missed


def _mistakes(material: ReportMaterial) -> _Values:
    """Mistakes with the highest confidence. Out-of-fold mistakes have no heat maps: their networks were deleted."""
    judged, names = material.shown, material.args.classes
    predicted, sure = judged.probabilities.argmax(axis=1), judged.probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != judged.labels)
    places = [int(place) for place in wrong[np.argsort(-sure[wrong], kind="stable")][:_MOST_TILES]]
    tiles: list[_Values] = []
    if places:
        pixels = material.pixels([judged.photos[place].sha256 for place in places])
        pictures, flat = [[_uri(photo)] for photo in pixels], [False] * len(pixels)
        if material.split is not Judged.CV:
            heats = material.heat(pixels, [int(predicted[place]) for place in places])
            for uris, photo, heat in zip(pictures, pixels, heats, strict=True):
                uris.append(_uri(overlay(photo, heat)))
            flat = [not heat.any() for heat in heats]
        tiles = [
            {
                "uris": uris,
                "predicted": names[predicted[place]],
                "confidence": float(sure[place]),
                "truth": names[judged.labels[place]],
                "path": judged.photos[place].path,
                "is_flat": is_flat,
            }
            for place, uris, is_flat in zip(places, pictures, flat, strict=True)
        ]
    return {"count": len(wrong), "tiles": tiles}


def overlay(photo: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """A grey photo ``uint8 (S, S, 3)`` with colour where the heat ``(S, S)`` in 0..1 is high."""
    grey = (photo @ _LUMA)[..., None]
    colours = np.stack([np.interp(heat, _HEATS, band) for band in _COLOURS.T], axis=-1)
    part = _COLOURED * np.sqrt(heat)[..., None]
    return np.asarray(np.rint((1 - part) * grey + part * colours), np.uint8)


def _uri(pixels: Pixels) -> str:
    image = Image.fromarray(pixels)
    if max(image.size) > _SIDE:
        image = image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return jpeg_uri(image, _MOST_BYTES)


def _suspects(material: ReportMaterial) -> list[tuple[object, str]]:
    shown = material.issues[:_MOST_TILES]
    pixels = material.pixels([issue.photo.sha256 for issue in shown]) if shown else ()
    return [(issue, _uri(photo)) for issue, photo in zip(shown, pixels, strict=True)]


def _classes(figures: Figures | None) -> Sequence[tuple[str, ClassFigures]]:
    rows = figures.classes.items() if figures else ()
    return sorted(rows, key=lambda item: (not item[1].support, item[1].f1, item[0]))[:_MOST_CLASSES]


def _confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> _Values:
    sizes = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    places = np.argwhere(wrong)
    counts = wrong[tuple(places.T)]
    order = np.lexsort((-counts / sizes[places[:, 0], 0], -counts))[:_MOST_PAIRS]
    pairs = [
        (classes[truth], classes[predicted], int(wrong[truth, predicted]), int(sizes[truth, 0]))
        for truth, predicted in places[order]
    ]
    values: _Values = {"classes": classes, "pairs": pairs, "pairs_left": len(places) - len(order)}
    if len(classes) > _MOST_NAMED:
        return values | {"uri": data_uri(matrix_png(matrix, classes), "png")}
    shares = matrix / sizes
    percents = [[f"{100 * part:.0f}" if part else "" for part in row] for row in shares]
    texts = [[f"{count:,}" if count else "" for count in row] for row in matrix]
    tables = {
        "Photos": _cells(texts, matrix / max(1, matrix.max())),
        "Percent of the true class's photos": _cells(percents, shares),
    }
    return values | {"tables": list(tables.items())}


def _cells(texts: Sequence[Sequence[str]], shades: NDArray[np.float64]) -> list[list[tuple[str, float]]]:
    # square roots make small shades visible
    return [list(zip(*row, strict=True)) for row in zip(texts, np.sqrt(shades).tolist(), strict=True)]


def _reliability(
    judged: SplitPredictions, before: float | None, figures: Figures | None
) -> list[tuple[str, float | None, object]]:
    both = (
        ("Before", before, calibrated(judged.logits, 1.0)),
        ("After", figures.ece if figures else None, judged.probabilities),
    )
    return [
        (title, ece, [(one.count, one.confidence, one.accuracy) for one in reliability(probabilities, judged.labels)])
        for title, ece, probabilities in both
    ]


def _data(material: ReportMaterial) -> _Values:
    counts = material.prepared_counts
    names: Sequence[str] = material.args.classes
    few = len(names) <= _MOST_CLASSES
    if not few:
        names = sorted(names, key=lambda name: counts.get(Split.TRAIN, {}).get(name, 0))[:_MOST_CLASSES]
    splits = [split for split in Split if split in counts]
    rows = [(name, [(split, counts[split].get(name, 0)) for split in splits]) for name in names]
    sizes = {split: sum(counts[split].values()) for split in splits}
    return {
        "few": few,
        "photos": sum(sizes.values()),
        "sizes": sizes,
        "rows": rows,
        "most": max((sum(count for _, count in row) for _, row in rows), default=0) or 1,
    }


def _set_aside(excluded: Sequence[Exclusion]) -> _Values:
    kinds: defaultdict[str, list[Exclusion]] = defaultdict(list)
    for one in excluded:
        kinds[one.reason].append(one)
    rows = sorted(kinds.items(), key=lambda item: -len(item[1]))
    return {
        "rows": [(reason, len(files), files[:_EXAMPLES]) for reason, files in rows],
        "left": sum(max(0, len(files) - _EXAMPLES) for files in kinds.values()),
    }


_MOST: Final = 36
_BATCH: Final = 16
_IMAGES: Final = 4
"""Feature maps have four dimensions: photo, row, column, channel."""


def first_photos(training: Training) -> list[tuple[Pixels, str]]:
    """Return (photo, class) pairs of the first step. Photos are augmented, ``uint8 (S, S, 3)``."""
    batches = training.batches()
    pixels, targets = (array.numpy() for array in next(iter(batches.epoch(0, batches.size))))
    labels = np.rint(targets[:, 0]) if targets.shape[1] == 1 else targets.argmax(axis=1)
    shown = np.clip(np.rint(pixels[:_MOST]), 0, 255).astype(np.uint8)
    return [(photo, training.args.classes[int(label)]) for photo, label in zip(shown, labels, strict=False)]


def heat_maps(network: keras.Model, pixels: Pixels, classes: Sequence[int]) -> NDArray[np.float32]:
    """Heat maps of the evidence for a class: Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391).

    ``pixels`` are ``uint8 (n, S, S, 3)``. ``classes`` has a class index for each photo. Returns ``float32 (n, S, S)``.
    The maximum of each map is 1. A map without evidence is 0.
    """
    size = pixels.shape[1:3]
    maps = network.get_layer(last_spatial_layer(network)).output
    probe = keras.Model(network.inputs, [maps, network.get_layer("logits").output])
    heats = [np.zeros((0, *size), np.float32)]
    for start in range(0, len(pixels), _BATCH):
        some = slice(start, start + _BATCH)
        indices = np.asarray(classes[some], np.int64)
        heats.append(_heat(probe, tf.cast(pixels[some], tf.float32), indices, size))
    return np.concatenate(heats)


def last_spatial_layer(network: keras.Model) -> str:
    """The name of the last layer with output ``(batch, rows, columns, channels)``, or raise ValueError."""
    for layer in reversed(network.layers):
        shape: tuple[int | None, ...] = getattr(getattr(layer, "output", None), "shape", ())
        if len(shape) == _IMAGES and shape[1] != 1:
            return str(layer.name)
    msg = f"Expected a layer with a 4-D output in {network.name}, found none."
    raise ValueError(msg)


def _heat(probe: keras.Model, images: Any, classes: NDArray[np.int64], size: tuple[int, ...]) -> NDArray[np.float32]:  # noqa: ANN401 - tensors have no types
    with tf.GradientTape() as tape:
        tape.watch(images)  # needed if all weights are frozen
        maps, logits = probe(images, training=False)
        if logits.shape[1] == 1:
            speaking = logits[:, 0] * tf.cast(np.where(classes == 1, 1.0, -1.0), logits.dtype)
        else:
            speaking = tf.gather(logits, classes, axis=1, batch_dims=1)
        score = tf.reduce_sum(speaking)
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(tf.cast(maps * weights, tf.float32), axis=3, keepdims=True))
    whole = tf.image.resize(heat, size)[..., 0].numpy()
    hottest = whole.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(whole, hottest, out=np.zeros_like(whole), where=hottest > 0), np.float32)
