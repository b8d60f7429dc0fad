"""What a tracking server is told of a version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Entry", "Figure"]


@dataclass(frozen=True)
class Figure:
    """A number.

    Attributes:
        name: with MLflow's ``/`` between what belongs together.
        value: finite.
        epoch: that it is of; 0 where it is of the whole training.
    """

    name: str
    value: float
    epoch: int = 0


@dataclass(frozen=True)
class Entry:
    """A version, and all that is known of how it came about.

    Attributes:
        name: of the model.
        version: in Hangtag's registry; MLflow counts its own.
        digest: of the bundle. It is what an entry is known by: the same bundle is told of once.
        bundle: its folder.
        at_ms: when it was measured, in milliseconds since 1970; the same whenever it is told again.
        params: what it was trained with.
        figures: what was measured.
        tags: what else is to be found by.
        files: file → folder among the run's artifacts, ``""`` for the top; each of them is there.
    """

    name: str
    version: int
    digest: str
    bundle: Path
    at_ms: int
    params: Mapping[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)
