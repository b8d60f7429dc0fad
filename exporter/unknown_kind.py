"""What the output ``unknown`` of a graph is: the energy of its logits, or a distance in the space of its features."""

from typing import Literal

from models.statistics.out_of_distribution import DistanceHead

__all__ = ["UnknownKind"]

UnknownKind = DistanceHead | Literal["energy"]
