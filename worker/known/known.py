"""What a labelling process asks of the results that it need not make again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.results import RowResult

__all__ = ["NOTHING_KNOWN", "Known", "KnownPhotos", "Labelled"]


@dataclass(frozen=True)
class Known:
    """The result of a photo's bytes.

    Attributes:
        result: as a row of this job with these bytes has it.
        carried: whether it is the previous job's.
    """

    result: RowResult
    carried: bool


@dataclass(frozen=True)
class Labelled:
    """A row that has just been labelled: its result, and where its photo came from, if over a network."""

    result: RowResult
    url: str | None


class KnownPhotos(Protocol):
    """Results by the bytes of photos; what it does not know is labelled again, so all of it may be lost."""

    def find(self, sha256: str) -> Known | None:
        """The result of a photo with these bytes."""

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        """URL → the ETag that its host last gave, of those whose bytes are known."""

    def at(self, url: str, etag: str) -> Known | None:
        """The result of the bytes that a host gave that ETag."""

    def add(self, rows: Iterable[Labelled]) -> None:
        """Keep results of this job."""

    def close(self) -> None:
        """Let go of files."""


class _NothingKnown:
    def find(self, sha256: str) -> Known | None:
        return None

    def etags(self, urls: Sequence[str]) -> Mapping[str, str]:
        return {}

    def at(self, url: str, etag: str) -> Known | None:
        return None

    def add(self, rows: Iterable[Labelled]) -> None:
        pass

    def close(self) -> None:
        pass


NOTHING_KNOWN: KnownPhotos = _NothingKnown()
