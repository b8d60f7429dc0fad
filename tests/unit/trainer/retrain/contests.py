"""Test photos, and models with predictions chosen by a test."""

from pathlib import Path

import numpy as np

from trainer.data.dataset import Split
from trainer.retrain.compare_predictions import ModelPredictions
from trainer.retrain.cycle_folder import Footprint
from trainer.splits.assigned import AssignedPhoto


def photos_of(*truths):
    """A photo for each label, each in its own group."""
    return [
        AssignedPhoto(Path(f"/photos/{n}.jpg"), label, Split.TEST, f"{n:064}", f"g{n}")
        for n, label in enumerate(truths)
    ]


SURE = 0.8


def model(labels, *said, name="shop@3", size=1000, speed=100.0, precision=0.9):
    """A model with a label a photo: a name, or a name and a confidence; from SURE on it labels without a person."""
    pairs = [(one, 0.9) if isinstance(one, str) else one for one in said]
    probabilities = np.empty((len(said), len(labels)), np.float32)
    for row, (label, confidence) in zip(probabilities, pairs, strict=True):
        row[:] = (1 - confidence) / (len(labels) - 1)
        row[labels.index(label)] = confidence
    sure = np.array([confidence >= SURE for _, confidence in pairs], np.bool_)
    footprint = Footprint(compared_bytes=size, default_bytes=size, images_per_s=speed)
    return ModelPredictions(name, tuple(labels), probabilities, sure, precision, sure, precision, footprint)
