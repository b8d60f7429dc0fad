"""Hangtag: train a classifier, verify its export, and label product photos in bulk on plain CPUs.

import hangtag

run = hangtag.train("photos/", name="shop")
bundle = hangtag.export(run)
labels = hangtag.label("catalogue.csv", bundle, "labels.parquet", precision=0.95)
labels.receipt.by_status

hangtag.load(bundle).classify("shoe.jpg").label
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hangtag.python import check, evaluate, export, label, train
    from models.classifier import Classifier, load
    from models.decision import Prediction
    from models.errors import HangtagError, ImageError

__all__ = [
    "Classifier",
    "HangtagError",
    "ImageError",
    "Prediction",
    "check",
    "evaluate",
    "export",
    "label",
    "load",
    "train",
]

_HOMES = {
    "Classifier": "models.classifier",
    "HangtagError": "models.errors",
    "ImageError": "models.errors",
    "Prediction": "models.decision",
    "load": "models.classifier",
    **dict.fromkeys(("check", "evaluate", "export", "label", "train"), "hangtag.python"),
}


def __getattr__(name: str) -> object:
    """Import a name on first use, so that ``--help`` needs no ONNX Runtime."""
    if name not in _HOMES:
        msg = f"module 'hangtag' has no attribute {name!r}"
        raise AttributeError(msg)
    from hangtag.cli import check_layout

    check_layout()
    return getattr(import_module(_HOMES[name]), name)
