"""Every random choice of the sample catalogue, from generators that are passed down and never shared."""

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Stream(IntEnum):
    """What a generator is for: streams of one seed never overlap."""

    PHOTO = 0
    CLASS_DECK = 1
    STORAGE_DECK = 2
    FAULTS = 3


def stream(seed: int, purpose: Stream, index: int = 0) -> np.random.Generator:
    """The generator of one photo or one deck; it depends on these three numbers and nothing else."""
    return np.random.default_rng([seed, purpose, index])


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, each as likely."""
    return options[int(rng.integers(len(options)))]


def deal(deck: Sequence[T], seed: int, purpose: Stream, index: int) -> T:
    """Returns card ``index`` of an endless deal, in which the deck is shuffled anew each time it runs out.

    Shares are exact over every whole deck, yet which card comes at ``index`` says nothing about its neighbours.
    """
    turn, place = divmod(index, len(deck))
    order = stream(seed, purpose, turn).permutation(len(deck))
    return deck[int(order[place])]
