"""The choice of a network and its first weights, checked before any photo is read; loads no TensorFlow."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

from models.errors import InputError
from trainer.request import Arch

_SIGNATURES: Final = (b"PK", b"\x89HDF")
"""How a ``.keras`` and an HDF5 file begin."""


class NamedWeights(StrEnum):
    """Weights that need no file of one's own."""

    IMAGENET = "imagenet"
    NONE = "none"


Weights: TypeAlias = NamedWeights | Path
"""ImageNet's weights, none (random ones), or those of a file."""


def parse_weights(text: str) -> Weights:
    """The value of ``--weights``; InputError if it is neither a known name nor a file of weights.

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
    with path.open("rb") as file:
        if not file.read(8).startswith(_SIGNATURES):
            msg = f"Expected a file of weights (HDF5 or .keras), {path} is damaged or not one; get it again."
            raise InputError(msg)
    return path


def default_weights(arch: Arch) -> NamedWeights:
    """The weights that an architecture starts from by default: ImageNet's, if there are some."""
    return NamedWeights.IMAGENET if arch.is_transfer else NamedWeights.NONE


@dataclass(frozen=True)
class NetworkChoice:
    """A network that can be built, or InputError; ``alpha`` is its width, None is 1."""

    arch: Arch
    size: int
    weights: Weights
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.size < self.arch.min_size:
            msg = f"{self.arch} needs {self.arch.min_size} px or more, got {self.size}; pass a larger --image-size."
            raise InputError(msg)
        if self.weights is NamedWeights.IMAGENET and not self.arch.is_transfer:
            having = ", ".join(other for other in Arch if other.is_transfer)
            msg = f"{self.arch} has no ImageNet weights; leave --weights out, or choose one of {having}."
            raise InputError(msg)
        if isinstance(self.weights, Path) and not self.arch.is_transfer and self.weights.suffix != ".keras":
            msg = f"{self.arch} starts from a .keras file only (a run's weights/best.keras, say), got {self.weights}."
            raise InputError(msg)

    @property
    def width(self) -> float:
        """The width multiplier; 1 if the architecture has only one width."""
        return 1.0 if self.alpha is None else self.alpha

    def __str__(self) -> str:
        return f"{self.arch} of width {self.width:g}" if self.arch.alphas else str(self.arch)
