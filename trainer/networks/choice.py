"""The choice of a network and its first weights, checked before any photo is read; loads no TensorFlow."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

from models.errors import InputError
from trainer.request import Arch

_MIN_ALPHA: Final = 0.1
"""The narrowest width: below it, the first layers of a mobilenet would have a channel or two, or none."""
_MAX_ALPHA: Final = 2.0
"""The widest: above it, the network is not a mobile one any more; the widest that was published is 1.4."""


class NamedWeights(StrEnum):
    """Weights that need no file of one's own."""

    IMAGENET = "imagenet"
    NONE = "none"


Weights: TypeAlias = NamedWeights | Path
"""ImageNet's weights, none (random ones), or those of a file."""


def parse_weights(text: str) -> Weights:
    """The value of ``--weights``; InputError if it is neither a known name nor a file.

    A file that is named like one of the names is written ``./imagenet``.
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


def check_signature(weights: Weights) -> None:
    """Check that a file of weights begins as one does: that costs nothing; InputError if it does not."""
    if isinstance(weights, NamedWeights):
        return
    with weights.open("rb") as file:
        begins = file.read(8)
    if not begins.startswith((b"PK", b"\x89HDF")):
        msg = f"Expected a file of weights (HDF5 or .keras), {weights} is damaged or not one; get it again."
        raise InputError(msg)


def default_weights(arch: Arch) -> NamedWeights:
    """The weights that an architecture starts from by default: ImageNet's, if there are some."""
    return NamedWeights.IMAGENET if arch.is_transfer else NamedWeights.NONE


@dataclass(frozen=True)
class NetworkChoice:
    """A network that can be built.

    Raises an InputError that names the choices, if there is no such network.

    Attributes:
        size: side S of the input in pixels.
        alpha: the width multiplier, for architectures that have one; None is 1. With ImageNet weights, one of the
            published widths; otherwise anything from 0.1 to 2.
    """

    arch: Arch
    size: int
    weights: Weights
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.size < self.arch.min_size:
            msg = f"{self.arch} needs {self.arch.min_size} px or more, got {self.size}; pass a larger --image-size."
            raise InputError(msg)
        if self.alpha is not None:
            _check_alpha(self.arch, self.alpha)
        if self.weights is NamedWeights.IMAGENET:
            _check_imagenet(self.arch, self.width)
        if isinstance(self.weights, Path) and not self.arch.is_transfer and self.weights.suffix != ".keras":
            msg = f"{self.arch} starts from a .keras file only (a run's weights/best.keras, say), got {self.weights}."
            raise InputError(msg)

    @property
    def width(self) -> float:
        """The width multiplier; 1 if none was asked for."""
        return 1.0 if self.alpha is None else self.alpha

    def __str__(self) -> str:
        """As a person says it."""
        return f"{self.arch} with alpha {self.width:g}" if self.arch.alphas else str(self.arch)


def _check_alpha(arch: Arch, alpha: float) -> None:
    if not arch.alphas:
        having = ", ".join(a for a in Arch if a.alphas)
        msg = f"{arch} has no alpha; leave --alpha out, or choose one of {having}."
        raise InputError(msg)
    if not _MIN_ALPHA <= alpha <= _MAX_ALPHA:
        msg = f"Expected an alpha from {_MIN_ALPHA:g} to {_MAX_ALPHA:g}, got {alpha:g}."
        raise InputError(msg)


def _check_imagenet(arch: Arch, width: float) -> None:
    if not arch.is_transfer:
        having = ", ".join(other for other in Arch if other.is_transfer)
        msg = f"{arch} has no ImageNet weights; leave --weights out, or choose one of {having}."
        raise InputError(msg)
    if arch.alphas and width not in arch.alphas:
        having = ", ".join(f"{alpha:g}" for alpha in arch.alphas)
        msg = f"{arch} has ImageNet weights for alpha {having}, got {width:g}; choose one, or pass --weights none."
        raise InputError(msg)
