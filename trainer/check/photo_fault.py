"""Why a photo cannot be used."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["FaultKind", "PhotoFault", "changed"]


class FaultKind(StrEnum):
    """What is wrong with a file; those that :class:`models.errors.ImageFault` has too have its words."""

    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    WRONG_EXTENSION = "wrong_extension"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    REFUSED = "refused"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    CHANGED = "changed"


@dataclass(frozen=True)
class PhotoFault:
    """Why a photo cannot be used.

    Attributes:
        kind: what is wrong.
        message: for people.
    """

    kind: FaultKind
    message: str


def changed(path: Path) -> PhotoFault:
    """The fault of a file that was replaced since its SHA-256 was noted: its label may not fit any more."""
    msg = f"Expected {path} as it was when its SHA-256 was noted, it holds other bytes; check its label and try again."
    return PhotoFault(FaultKind.CHANGED, msg)
