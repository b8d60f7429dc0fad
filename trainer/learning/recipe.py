"""Training recipes: learning rates, photo sizes and class weights for each architecture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.request import Arch

_WARM_UP: Final = 0.1
"""Share of the training in which the learning rate rises."""
_WHATEVER_SIZE: Final = 0.2
"""Share of an epoch's time that is the same for all photo sizes."""

MANY_PHOTOS: Final = 1_500
"""With fewer photos, networks may train for more epochs, and folds train for all epochs."""

MOST_WEIGHT: Final = 20.0
"""The weight of a rare class is at most this many times the weight of the largest class."""


@dataclass(frozen=True)
class Augmentation:
    """Limits of random changes to training photos; 0 for none.

    Attributes:
        shift: largest shift in each direction, as a share of the photo's side.
        zoom: smallest and largest visible part of the photo, as a share of its side.
        stretch: natural logarithm of the largest factor that multiplies the width and divides the height.
        colour: largest relative change of brightness and contrast. The limit for white balance is half of it.
        erase: share of the photos that get a grey rectangle.
    """

    flip: bool = True
    shift: float = 0.1
    zoom: tuple[float, float] = (0.8, 1.12)
    stretch: float = 0.1
    rotation_rad: float = 0.1
    colour: float = 0.2
    erase: float = 0.0


@dataclass(frozen=True)
class Stage:
    """A part of the training that uses smaller photos, for speed.

    ``scale``: the side of the photos, as a share of the full side. ``until``: the stage ends at this progress (0 to 1).
    """

    until: float
    scale: float


@dataclass(frozen=True)
class Recipe:
    """The settings of a training.

    Attributes:
        epochs: the smallest number of epochs. With few photos, epochs are added to reach ``steps`` steps, up to
            ``most_epochs`` epochs.
        weight_decay: see AdamW (Loshchilov & Hutter 2019).
        cosine: whether the learning rate rises over the first tenth and then falls to 0 along a cosine. Otherwise, the
            learning rate is constant.
        smoothing: label smoothing (Szegedy et al. 2016), the share of each target that is spread over all classes.
        average: time constant of the running average of the weights, as a share of the training, or 0 for no average.
        stages: stages with smaller photos, in order. After the last stage, photos have full size.
        large_batch: the batch size for ``MANY_PHOTOS`` or more photos.
        head_first: whether to train the head before the body. Fine-tuning then keeps the batch norms frozen.
        depth_rates: factors of the learning rate for early, middle and late layers.
        late_only: whether to train only the later half of the layers.
    """

    epochs: int
    batch: int
    rate: float
    weight_decay: float = 0.05
    cosine: bool = True
    smoothing: float = 0.1
    average: float = 0.0
    augmentation: Augmentation | None = None
    stages: tuple[Stage, ...] = ()
    steps: int = 0
    most_epochs: int = 10_000
    large_batch: int | None = None
    head_first: bool = False
    depth_rates: tuple[float, ...] = (1.0,)
    late_only: bool = False

    def batch_of(self, photos: int) -> int:
        """The default batch size."""
        return self.large_batch if self.large_batch and photos >= MANY_PHOTOS else self.batch

    def epochs_of(self, photos: int, batch: int) -> int:
        """The default number of epochs for this many photos."""
        if photos >= MANY_PHOTOS and batch <= self.batch_of(photos):
            return self.epochs
        for_steps = math.ceil(self.steps / max(1, photos // min(batch, photos)))
        return max(self.epochs, min(self.most_epochs, for_steps))


_CNN: Final = Recipe(
    epochs=60,
    batch=64,
    rate=2e-3,
    weight_decay=0.5,
    average=0.05,
    augmentation=Augmentation(zoom=(0.65, 1.12), stretch=0.15, colour=0.3, erase=0.25),
    stages=(Stage(until=0.35, scale=0.5), Stage(until=0.7, scale=0.75)),
    steps=640,
)
_CNN_AGAIN: Final = replace(_CNN, epochs=30, steps=320)
"""The recipe of a network that starts with the weights of an earlier training."""
_SIMPLE: Final = Recipe(epochs=15, batch=64, rate=1e-3, weight_decay=0.0, cosine=False, smoothing=0.0)
_FROM_NOTHING: Final = replace(_CNN, epochs=40, weight_decay=0.05, augmentation=Augmentation(), stages=(), steps=0)
_PRETRAINED: Final = replace(
    _FROM_NOTHING,
    batch=32,
    rate=1e-3,
    weight_decay=0.02,
    steps=300,
    head_first=True,
    depth_rates=(0.3, 0.6, 1.0),
)
_LITE: Final = replace(
    _PRETRAINED,
    epochs=6,
    batch=16,
    rate=3e-4,
    steps=360,
    most_epochs=40,
    large_batch=32,
    depth_rates=(1.0,),
    average=0.05,
    late_only=True,
)
"""The head is fitted before fine-tuning: a random head would damage pretrained features (Kumar et al. 2022)."""


def recipe_for(arch: Arch, *, pretrained: bool) -> Recipe:
    """The recipe of an architecture with pretrained or with random weights."""
    if arch is Arch.SIMPLE:
        return _SIMPLE
    if arch is Arch.CNN:
        return _CNN_AGAIN if pretrained else _CNN
    if arch.is_lite:
        return _LITE
    return _PRETRAINED if pretrained else _FROM_NOTHING


def rate_at(progress: float, recipe: Recipe) -> float:
    """The learning rate: a linear warm-up, then half a cosine down to 0 (Loshchilov & Hutter 2017)."""
    if not recipe.cosine:
        return recipe.rate
    if progress < _WARM_UP:
        return recipe.rate * progress / _WARM_UP
    fallen = min(1.0, (progress - _WARM_UP) / (1.0 - _WARM_UP))
    return recipe.rate * 0.5 * (1.0 + math.cos(math.pi * fallen))


def scale_at(progress: float, stages: Sequence[Stage]) -> float:
    """The side of the training photos at this progress, as a share of the full side."""
    return next((stage.scale for stage in stages if progress < stage.until), 1.0)


def cost_at(scale: float) -> float:
    """The relative time of an epoch with photos of this scale; 1 for full-size photos."""
    return _WHATEVER_SIZE + (1.0 - _WHATEVER_SIZE) * scale**2


def mean_cost(progress: float, stages: Sequence[Stage]) -> float:
    """The mean of :func:`cost_at` from ``progress`` to the end of the training."""
    cost, begin = 0.0, progress
    for stage in (*stages, Stage(1.0, 1.0)):
        end = max(begin, stage.until)
        cost += (end - begin) * cost_at(stage.scale)
        begin = end
    return cost / (1.0 - progress) if progress < 1.0 else 1.0


def class_weights(counts: Sequence[int]) -> npt.NDArray[np.float32]:
    """Class weights ``float32 (classes,)``, in inverse proportion to class size.

    The largest weight is at most ``MOST_WEIGHT`` times the smallest. The mean weight of all photos is 1.
    """
    sizes = np.asarray(counts, np.float64)
    if not sizes.any():
        return np.ones(len(sizes), np.float32)
    weights = 1.0 / np.maximum(sizes, sizes.max() / MOST_WEIGHT)
    mean = (weights * sizes).sum() / sizes.sum()
    return np.asarray(weights / mean, np.float32)
