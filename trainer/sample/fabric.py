"""What the body of a product is covered with: plain, striped, checked, dotted or woven."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.sample.chance import pick, spread
from trainer.sample.palette import Colourway, blend
from trainer.sample.pose import Pose

__all__ = ["cover_body"]

Field = NDArray[np.float32]
Pattern = Callable[[np.random.Generator, Field, Field], Field]

_MIX = (0.25, 0.55)


def cover_body(rng: np.random.Generator, pose: Pose, colours: Colourway, size: tuple[int, int]) -> Image.Image:
    """Returns an RGB image of ``size``, the cloth or glaze from which the body is cut."""
    share = pick(rng, _PATTERNS)(rng, *pose.fabric(size))
    second = blend(colours.body, colours.second, spread(rng, *_MIX))
    body = Image.new("RGB", size, colours.body)
    body.paste(second, mask=Image.fromarray((share * np.float32(255)).astype(np.uint8)))
    return body


def _plain(_rng: np.random.Generator, across: Field, _down: Field) -> Field:
    return np.zeros_like(across)


def _stripes(rng: np.random.Generator, across: Field, down: Field) -> Field:
    along = pick(rng, (across, down, across + down))
    return _bars(along, spread(rng, 2.5, 6.0), spread(rng, 0.3, 0.6))


def _checks(rng: np.random.Generator, across: Field, down: Field) -> Field:
    count = spread(rng, 2.0, 4.0)
    return (_bars(across, count, 0.5) + _bars(down, count, 0.5)) * np.float32(0.5)


def _dots(rng: np.random.Generator, across: Field, down: Field) -> Field:
    count, radius = spread(rng, 2.5, 5.0), spread(rng, 0.2, 0.34)
    x, y = (across * count) % 1 - 0.5, (down * count) % 1 - 0.5
    return (x * x + y * y < radius * radius).astype(np.float32)


def _weave(rng: np.random.Generator, across: Field, _down: Field) -> Field:
    return rng.random(across.shape, dtype=np.float32) * np.float32(0.6)


def _bars(along: Field, count: float, share: float) -> Field:
    return ((along * np.float32(count)) % 1 < share).astype(np.float32)


_PATTERNS: tuple[Pattern, ...] = (_plain, _plain, _stripes, _checks, _dots, _weave)
