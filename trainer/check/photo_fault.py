"""Why a photo cannot be used."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["FaultKind", "PhotoFault"]


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


@dataclass(frozen=True)
class PhotoFault:
    """Why a photo cannot be used.

    Attributes:
        kind: what is wrong.
        message: for people.
    """

    kind: FaultKind
    message: str
