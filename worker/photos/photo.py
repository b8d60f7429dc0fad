"""What a labelling process asks of a source of photos, and what it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.errors import ImageError

__all__ = ["Photo", "PhotoSource", "Wanted"]


@dataclass(frozen=True)
class Wanted:
    """A photo that a row names.

    Attributes:
        chunk: the row's chunk.
        row: its place in the chunk.
        cell: what the catalogue says: a path, a URL or a data URI; none where the cell is empty.
    """

    chunk: int
    row: int
    cell: str | None


@dataclass(frozen=True)
class Photo:
    """What has come of a :class:`Wanted` photo.

    Attributes:
        wanted: which one.
        outcome: its bytes, why there are none, or nothing at all: then the host says that they are those it once gave
            ``etag`` to.
        url: where it was asked for; none where it did not come over a network.
        etag: what the host calls these bytes (a strong ETag); none where it does not say.
        seconds: that the download took, waiting for its turn left out; 0 where there was none, or another row's
            download brought it.
        downloaded: bytes that came over a network for this row.
    """

    wanted: Wanted
    outcome: bytes | ImageError | None
    url: str | None = None
    etag: str | None = None
    seconds: float = 0.0
    downloaded: int = 0


class PhotoSource(Protocol):
    """Brings photos: those on this machine's disk as they are taken, those from elsewhere many at once, ahead of it.

    All methods are called by one thread.
    """

    def want(self, photos: Sequence[Wanted], etags: Mapping[str, str]) -> None:
        """Ask for photos.

        Args:
            photos: in the order in which they are liked best.
            etags: URL → the ETag of bytes that are known already: the host is asked for others only.
        """

    def take(self, timeout_s: float) -> Photo | None:
        """A photo that has come, each once, in any order; none where none comes within so many seconds.

        A photo on disk is read now, by this thread, when no other has come.
        """

    def forget(self, chunk: int) -> None:
        """Let go of all photos of a chunk that was given up; none of them is taken any more."""

    def url_of(self, cell: str | None) -> str | None:
        """Where a cell's photo is asked for; none where it does not come over a network."""

    @property
    def hungry(self) -> bool:
        """Whether it could fetch more photos at once than it has been asked for; never of photos on disk alone."""

    def close(self) -> None:
        """End what is under way."""
