"""A retry: the failed rows of a finished job that are worth another try, as a list of the chunks they are in."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from models.errors import ImageFault
from models.names import numbered
from models.storage.storage import Storage

__all__ = ["NO_RETRY", "RETRYABLE", "Retry", "commit_retry", "latest_retry", "read_retry"]

RETRYABLE: Final = frozenset({ImageFault.DOWNLOAD, ImageFault.TIMEOUT, ImageFault.CRASHED, ImageFault.MISSING})
"""Faults that may be gone at another time; the others are in the file itself."""


@dataclass(frozen=True)
class Retry:
    """One retry of a job.

    Attributes:
        number: 1 for the first; its parts end in ``.r1.parquet``. 0 stands for none.
        chunks: which chunks hold rows to try again.
        rows: how many such rows there are.
        begun_at: when somebody asked for it, in ISO 8601; empty for none.
    """

    number: int
    chunks: frozenset[int]
    rows: int
    begun_at: str

    def wanted(self, chunk: int) -> int:
        """The lowest retry number that a chunk's part must have for the chunk to be done."""
        return self.number if chunk in self.chunks else 0


_WIDTH: Final = 5
NO_RETRY: Final = Retry(0, frozenset(), 0, "")


def commit_retry(storage: Storage, number: int, chunks: list[int], rows: int) -> bool:
    """Begin a retry; ``False`` when somebody has begun one of that number already."""
    begun_at = datetime.now(UTC).isoformat()
    return storage.commit(_key(number), json.dumps({"begun_at": begun_at, "rows": rows, "chunks": chunks}).encode())


def latest_retry(storage: Storage) -> int:
    """Number of the latest retry; 0 where there was none."""
    return max(numbered(storage.names("retries"), ".json", width=_WIDTH), default=0)


@lru_cache(maxsize=8)
def read_retry(storage: Storage, number: int, _job: str) -> Retry:
    """A retry as it was committed; the job's id keeps apart jobs that were in one folder after one another."""
    record = json.loads(storage.read(_key(number)))
    return Retry(number, frozenset(record["chunks"]), record["rows"], record["begun_at"])


def _key(number: int) -> str:
    return f"retries/{number:0{_WIDTH}d}.json"
