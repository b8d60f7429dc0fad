"""Where a product lies in its photo: turned, scaled, mirrored, sheared and moved, and always wholly inside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.sample.chance import pick, spread
from trainer.sample.curve import Outline, rotation
from trainer.sample.ink import Part, Parts

__all__ = ["Pose", "choose_pose"]

_TURN_DEG = 20.0
_SHEAR = 0.08
_STRETCH = 0.1
_FILL = (0.74, 0.95)
_SLACK_USED = 0.7


@dataclass(frozen=True)
class Pose:
    """From a product's own coordinates to pixels: ``outline @ matrix + offset``."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    def place(self, parts: Sequence[Part]) -> Parts:
        """Returns the parts in pixels."""
        return [replace(part, outline=part.outline @ self.matrix + self.offset) for part in parts]

    def fabric(self, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns the product's x and y at every pixel, ``(height, width)`` each, for a pattern that lies on it."""
        back = np.linalg.inv(self.matrix)
        columns = (np.arange(size[0]) - self.offset[0])[None, :]
        rows = (np.arange(size[1]) - self.offset[1])[:, None]
        across, down = (columns * back[0, i] + rows * back[1, i] for i in (0, 1))
        return across.astype(np.float32), down.astype(np.float32)


def choose_pose(rng: np.random.Generator, parts: Sequence[Part], size: tuple[int, int]) -> Pose:
    """Chooses a pose in which the parts fill most of a frame of ``size`` (width, height) and touch no side."""
    matrix = _choose_matrix(rng)
    points: Outline = np.concatenate([part.outline for part in parts]) @ matrix
    low, high = points.min(axis=0), points.max(axis=0)
    frame = np.array(size, dtype=np.float64)
    scale = spread(rng, *_FILL) * float((frame / (high - low)).min())
    slack = frame - (high - low) * scale
    centre = frame / 2 + slack * rng.uniform(-0.5, 0.5, 2) * _SLACK_USED
    return Pose(matrix * scale, centre - (low + high) / 2 * scale)


def _choose_matrix(rng: np.random.Generator) -> NDArray[np.float64]:
    mirror = pick(rng, (-1.0, 1.0))
    stretch = np.diag([mirror * spread(rng, 1 - _STRETCH, 1 + _STRETCH), 1.0])
    shear = np.array([[1.0, 0.0], [spread(rng, -_SHEAR, _SHEAR), 1.0]])
    turn = rotation(spread(rng, -_TURN_DEG, _TURN_DEG) / 360)
    matrix: NDArray[np.float64] = stretch @ shear @ turn
    return matrix
