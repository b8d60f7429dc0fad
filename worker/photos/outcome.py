"""What comes of one try at a download."""

import re
from dataclasses import dataclass
from typing import Final

from models.errors import ImageError, ImageFault
from worker.photos.target import Target

__all__ = ["Came", "Failed", "Moved", "Outcome", "Trouble", "download_error", "shown", "strong"]

_STRONG: Final = re.compile(r'"[!#-~]{0,200}"')


@dataclass(frozen=True)
class Came:
    """A photo's bytes; none where they are those that were known.

    Attributes:
        etag: strong, or none.
    """

    data: bytes | None
    etag: str | None


@dataclass(frozen=True)
class Moved:
    """The host names another place."""

    target: Target


@dataclass(frozen=True)
class Trouble:
    """What may be gone at the next try.

    Attributes:
        why: to be read after "the host".
        silent: whether the host said nothing at all.
        after_s: when to come again, where the host says so.
        lasting: whether another try within the minute would be in vain.
    """

    why: str
    silent: bool = False
    after_s: float | None = None
    lasting: bool = False


@dataclass(frozen=True)
class Failed:
    """What another try would not change."""

    error: ImageError


Outcome = Came | Moved | Trouble | Failed


def strong(etag: str | None) -> str | None:
    """The ETag if it is strong (RFC 9110, 8.8.3): only then do equal tags mean equal bytes."""
    return etag if etag and _STRONG.fullmatch(etag) else None


def shown(text: str, most: int = 60) -> str:
    """What a host says, cut to ``most`` characters of printable ASCII, for a message."""
    printable = (character if character.isprintable() else "?" for character in text[:most])
    return "".join(printable).encode("ascii", "replace").decode()


def download_error(url: str, came: str) -> ImageError:
    """A photo that could not be downloaded, and why: ``came`` is to be read after a comma."""
    return ImageError(f"Expected a photo at {url[:300]}, {came}.", ImageFault.DOWNLOAD)
