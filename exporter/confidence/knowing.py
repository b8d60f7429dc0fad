"""How sure a network may be: learned on photos that it has not learned from."""

from dataclasses import dataclass
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt

from exporter.confidence.calibrate import calibrated, fit_temperature
from exporter.confidence.thresholds import HeldRows, default_precision, precision_targets
from exporter.confidence.unknown import KEPT, DistanceHead, fit_distance, unknown_limit
from models.confidence import Confidence, UnknownLimit

__all__ = ["HeldOut", "Strangeness", "know", "know_strangers"]


@dataclass(frozen=True)
class Strangeness:
    """How strange a photo is to a network.

    Attributes:
        head: gives the score of a photo's features.
        limit: the score above which a photo is none of the products.
    """

    head: DistanceHead
    limit: float

    @property
    def unknown(self) -> UnknownLimit:
        """The limit, as it travels with the model."""
        return UnknownLimit(score="distance", limit=self.limit, kept=KEPT)


@dataclass(frozen=True)
class HeldOut:
    """Photos that a network has not learned from.

    Attributes:
        logits: class logits, ``float32 (n, classes)``.
        labels: class indices ``(n,)``.
        known: whether the unknown score is within its limit, ``bool (n,)``.
    """

    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.intp]
    known: npt.NDArray[np.bool_]

    def write(self, file: BinaryIO) -> None:
        """Write the arrays as ``.npz``."""
        np.savez(file, logits=self.logits, labels=self.labels, known=self.known)

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """Read what :meth:`write` wrote.

        Raises:
            OSError, EOFError, ValueError, KeyError, BadZipFile: the file is damaged.
        """
        with np.load(file, allow_pickle=False) as arrays:
            return cls(arrays["logits"], arrays["labels"], arrays["known"])


def know_strangers(
    learned: npt.NDArray[np.float32], labels: npt.NDArray[np.intp], held: npt.NDArray[np.float32]
) -> Strangeness:
    """Learn what the products look like.

    Args:
        learned: features of photos that the network has learned from, ``float32 (n, D)``.
        labels: their class indices.
        held: features of photos that it has not: the limit comes from these, since those above lie closer together.
    """
    head = fit_distance(learned, labels)
    return Strangeness(head, unknown_limit(head.score(held)))


def know(validation: HeldOut, unknown: UnknownLimit | None, folds: list[HeldOut]) -> Confidence:
    """Temperature and thresholds.

    Args:
        validation: what the network itself said.
        unknown: which photos are none of the products; none where there is no telling.
        folds: what networks that were trained without a fold said of it; each has a temperature of its own.
    """
    temperature = fit_temperature(validation.logits, validation.labels)
    others = [_rows(fold, fit_temperature(fold.logits, fold.labels)) for fold in folds]
    targets = precision_targets(_rows(validation, temperature), others)
    return Confidence(
        temperature=temperature,
        precision=default_precision(targets),
        targets=targets,
        unknown=unknown,
        rows=sum(len(part.labels) for part in (validation, *folds)),
        out_of_fold=sum(len(fold.labels) for fold in folds),
    )


def _rows(said: HeldOut, temperature: float) -> HeldRows:
    return HeldRows(calibrated(said.logits, temperature), said.labels, said.known)
