"""How far a training is, from 0 to 1, and what follows from it: learning rate, size of photos, epochs that are left."""

import math
from collections.abc import Sequence
from typing import Final

from trainer.learning.recipe import Recipe, Stage

__all__ = ["epochs_left_in", "rate_at", "scale_at"]

_WARM_UP: Final = 0.1


def rate_at(progress: float, recipe: Recipe) -> float:
    """The learning rate: a linear warm-up, then half a cosine down to nothing (Loshchilov & Hutter 2017)."""
    if not recipe.cosine:
        return recipe.rate
    if progress < _WARM_UP:
        return recipe.rate * progress / _WARM_UP
    fallen = min(1.0, (progress - _WARM_UP) / (1.0 - _WARM_UP))
    return recipe.rate * 0.5 * (1.0 + math.cos(math.pi * fallen))


def scale_at(progress: float, stages: Sequence[Stage]) -> float:
    """Side of the photos as a share of S."""
    return next((stage.scale for stage in stages if progress < stage.until), 1.0)


def epochs_left_in(seconds: float, progress: float, full_epoch_s: float, stages: Sequence[Stage]) -> int:
    """How many epochs fit into the time that is left; at least one.

    Args:
        seconds: that are left.
        progress: where the training is.
        full_epoch_s: what an epoch of photos of full size takes; of others it takes as much less as they are smaller.
        stages: with smaller photos.
    """
    return max(1, int(seconds / (full_epoch_s * _mean_cost(progress, stages))))


def _mean_cost(progress: float, stages: Sequence[Stage]) -> float:
    """Of the rest of the training, where an epoch of photos of full size costs 1."""
    cost, begin = 0.0, progress
    for stage in (*stages, Stage(1.0, 1.0)):
        end = max(begin, stage.until)
        cost += (end - begin) * stage.scale**2
        begin = end
    return cost / (1.0 - progress) if progress < 1.0 else 1.0
