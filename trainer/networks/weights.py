"""What a network starts from, as a person says it; loads no TensorFlow."""

from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from models.errors import InputError
from trainer.arch import Arch

__all__ = ["NamedWeights", "Weights", "default_weights", "parse_weights"]


class NamedWeights(StrEnum):
    """Weights that need no file of one's own."""

    IMAGENET = "imagenet"
    NONE = "none"


Weights: TypeAlias = NamedWeights | Path
"""ImageNet's, none (random ones), or those in a file."""


def parse_weights(text: str) -> Weights:
    """What ``--weights`` says. A file that is named like one of the names is written ``./imagenet``.

    Raises:
        InputError: it is neither a name nor a file.
    """
    if text in set(NamedWeights):
        return NamedWeights(text)
    path = Path(text)
    if path.is_dir():
        msg = f"Expected a file of weights, {path} is a folder; of a run give {path / 'weights' / 'best.keras'}."
        raise InputError(msg)
    if not path.is_file():
        msg = f"Expected imagenet, none or a file of weights, got {text}, and there is no such file."
        raise InputError(msg)
    return path


def default_weights(arch: Arch) -> NamedWeights:
    """What an architecture starts from where nobody says: ImageNet where it can."""
    return NamedWeights.IMAGENET if arch.is_transfer else NamedWeights.NONE
