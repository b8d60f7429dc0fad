"""What the photos of one product say together."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.decision import ReviewReason
from worker.results import Status

__all__ = ["ClassShare", "Product", "Verdict", "decide"]


@dataclass(frozen=True)
class ClassShare:
    """What a product's photos say of one class.

    Attributes:
        label: the class.
        probability: added up over the photos whose ``top_k`` names it.
        own: photos whose own label it is.
        sure: photos that were labeled so by themselves.
    """

    label: str
    probability: float
    own: int
    sure: int


@dataclass(frozen=True)
class Product:
    """The rows of one product.

    Attributes:
        name: what the group column says in each of them.
        photos: how many rows.
        readable: how many of them did not fail.
        doubts: reason → how many went to review for it.
    """

    name: str
    photos: int
    readable: int
    doubts: dict[ReviewReason, int]


@dataclass(frozen=True)
class Verdict:
    """What is said of a product; the fields are columns of ``by_group.parquet``."""

    label: str | None
    confidence: float | None
    status: Status
    reason: ReviewReason | None
    agreement: float | None


FAILED = Verdict(None, None, Status.FAILED, None, None)


def decide(product: Product, shares: Sequence[ClassShare]) -> Verdict:
    """The vote on a product.

    The label is the class with the highest mean probability over the readable photos; of equal ones that which more
    photos have as their own label, then the first in the alphabet. The mean is the confidence. A photo tells of the
    classes in its ``top_k`` only, and one that is not named there counts 0: the confidence is a lower bound of the true
    mean, and equal to it where every photo names the label.

    A product whose sure photos have two labels goes to review, whatever the vote. It is labeled where a photo is sure
    and the vote says the same; where no photo is readable it failed; else it goes to review, for the commonest reason
    of its rows.

    Args:
        product: its rows, counted.
        shares: of every class that a readable photo names.
    """
    if not product.readable:
        return FAILED
    best = min(shares, key=lambda share: (-share.probability, -share.own, share.label))
    sure = [share.label for share in shares if share.sure]
    status, reason = Status.REVIEW, _commonest(product.doubts)
    if len(sure) > 1:
        reason = ReviewReason.DISAGREEMENT
    elif sure == [best.label]:
        status, reason = Status.LABELED, None
    return Verdict(best.label, best.probability / product.readable, status, reason, best.own / product.readable)


def _commonest(doubts: dict[ReviewReason, int]) -> ReviewReason | None:
    """Of equal numbers the unknown: what is none of the products has no class to be sure of."""
    return max(doubts, key=lambda reason: (doubts[reason], reason is ReviewReason.UNKNOWN), default=None)
