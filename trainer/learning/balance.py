"""Class balance: what is done about classes that have many more photos than others."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.request import Balance

_MOST_EVEN: Final = 3.0
"""Up to this ratio between the largest and the smallest class nothing is done, unless a person says so."""
MOST_WEIGHT: Final = 20.0
"""The largest weight of a photo, relative to the largest class, so that no photo dominates a batch."""


def choose_balance(counts: Sequence[int], wished: Balance | None) -> Balance:
    """What a person asked for; else weights if the sizes of classes differ more than threefold."""
    if wished is not None:
        return wished
    return Balance.WEIGHTS if _ratio(counts) > _MOST_EVEN else Balance.NONE


def balance_note(counts: Sequence[int], wished: Balance | None) -> str | None:
    """What to tell a person of a choice that Hangtag made; None if nothing is done, or the person chose."""
    if wished is not None or choose_balance(counts, wished) is Balance.NONE:
        return None
    return (
        f"Largest class has {_ratio(counts):.1f} times the photos of the smallest: "
        "photos of rare classes weigh more; --balance none turns it off"
    )


def _ratio(counts: Sequence[int]) -> float:
    present = [count for count in counts if count]
    return max(present) / min(present) if present else 1.0


def class_weights(counts: Sequence[int]) -> npt.NDArray[np.float32]:
    """Weights in inverse proportion to class size, so that each class has the same say; bounded by ``MOST_WEIGHT``.

    Their mean over photos, not over classes, is 1, so that the loss keeps its scale. ``float32 (classes,)``.
    """
    sizes = np.asarray(counts, np.float64)
    if not sizes.any():
        return np.ones(len(sizes), np.float32)
    weights = 1.0 / np.maximum(sizes, sizes.max() / MOST_WEIGHT)
    mean = (weights * sizes).sum() / sizes.sum()
    return np.asarray(weights / mean, np.float32)
