"""What is done where some classes have many more photos than others; the command line lists it and loads no numpy."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

__all__ = ["MOST_EVEN", "Balance", "balance_note", "choose_balance"]

MOST_EVEN: Final = 3.0
"""Up to this ratio between the largest and the smallest class nothing is done, unless a person says so."""


class Balance(StrEnum):
    """What is done about classes of different sizes.

    ``none``: every photo counts the same. ``weights``: the loss of a photo counts more, the rarer its class.
    ``sample``: photos of rare classes are shown oftener, by the square root of class size.
    """

    NONE = "none"
    WEIGHTS = "weights"
    SAMPLE = "sample"


def choose_balance(counts: Sequence[int], wished: Balance | None) -> Balance:
    """Obey a wish; without one, weigh photos where classes differ by more than ``MOST_EVEN``.

    Args:
        counts: training photos of each class; classes without any do not count.
        wished: by the person, if at all.
    """
    if wished is not None:
        return wished
    return Balance.WEIGHTS if _ratio(counts) > MOST_EVEN else Balance.NONE


def balance_note(counts: Sequence[int], wished: Balance | None) -> str | None:
    """What a person should know of a choice that nobody asked for; none where nothing is done, or it was wished."""
    if wished is not None or choose_balance(counts, wished) is Balance.NONE:
        return None
    return (
        f"Largest class has {_ratio(counts):.1f} times the photos of the smallest: "
        "photos of rare classes weigh more; --balance none turns it off"
    )


def _ratio(counts: Sequence[int]) -> float:
    """The largest class by the smallest that has photos."""
    present = [count for count in counts if count]
    return max(present) / min(present) if present else 1.0
