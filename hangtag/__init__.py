"""Hangtag: train, prove, and label product photos in bulk on plain CPUs.

import hangtag

clf = hangtag.load("bundles/shop")
clf.classify("shoe.jpg").label
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.classifier import Classifier, Prediction, load
    from models.errors import HangtagError, ImageError

__all__ = [
    "Classifier",
    "HangtagError",
    "ImageError",
    "Prediction",
    "load",
]

_HOMES = {
    "Classifier": "models.classifier",
    "HangtagError": "models.errors",
    "ImageError": "models.errors",
    "Prediction": "models.classifier",
    "load": "models.classifier",
}


def __getattr__(name: str) -> object:
    """Import a name on first use: the command's ``--help`` needs no ONNX Runtime."""
    if name not in _HOMES:
        msg = f"module 'hangtag' has no attribute {name!r}"
        raise AttributeError(msg)
    from hangtag.layout import check_layout

    check_layout()
    return getattr(import_module(_HOMES[name]), name)
