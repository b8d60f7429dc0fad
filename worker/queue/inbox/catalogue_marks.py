"""What became of each content of each catalogue file of a watched folder, in the folder of jobs."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from models.storage.storage import Storage
from worker.queue.submit import name_part

__all__ = ["CatalogueMarks", "Content", "TakenFile"]

_TAKEN: Final = ".json"
_REFUSED: Final = ".refused.json"
_DIGITS: Final = 32
_NAME_DIGITS: Final = 12


@dataclass(frozen=True)
class Content:
    """What a file of a folder held at some time: what is taken once.

    Attributes:
        folder: the watched folder, as an absolute path.
        path: of the file, relative to it.
        sha256: of its bytes.
    """

    folder: Path
    path: str
    sha256: str

    @property
    def job(self) -> str:
        """The name of its job, always the same."""
        digest = _digest(str(self.folder), self.path, self.sha256)[:_NAME_DIGITS]
        return f"{name_part(Path(self.path).stem)}-{digest}"

    @property
    def key(self) -> str:
        """Of its marks, without an ending."""
        return f"{_file_key(self.folder, self.path)}/{self.sha256[:_DIGITS]}"


class TakenFile(BaseModel):
    """A mark: the file with this content became that job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    file: str
    sha256: str
    job: str
    at: str


class CatalogueMarks:
    """Marks that are written once; the first that is committed rules.

    Args:
        storage: ``_watched`` of the folder of jobs.
        asked: what the jobs are asked to be; a refusal holds for files that are asked for in the same way.
    """

    def __init__(self, storage: Storage, asked: str) -> None:
        self._storage = storage
        self._asked = _digest(asked)[:_NAME_DIGITS]

    def is_known(self, content: Content) -> bool:
        """Whether it became a job, or was refused as it is asked for now."""
        return any(map(self._storage.exists, (content.key + _TAKEN, self._refusal(content))))

    def taken(self, content: Content, job: str) -> None:
        """Its job is there."""
        mark = TakenFile(
            folder=str(content.folder), file=content.path, sha256=content.sha256, job=job, at=_now()
        ).model_dump_json(indent=1)
        self._storage.commit(content.key + _TAKEN, mark.encode())

    def refused(self, content: Content, reason: str) -> bool:
        """There can be no job of it; ``False`` where somebody has said so before."""
        mark = {"file": content.path, "sha256": content.sha256, "reason": reason, "at": _now()}
        return self._storage.commit(self._refusal(content), json.dumps(mark, indent=1, ensure_ascii=False).encode())

    def jobs_of(self, folder: Path, path: str) -> list[str]:
        """Names of the jobs of all that a file has held, the latest first."""
        key = _file_key(folder, path)
        names = [name for name in self._storage.names(key) if name.endswith(_TAKEN) and not name.endswith(_REFUSED)]
        marks = [TakenFile.model_validate_json(self._storage.read(f"{key}/{name}")) for name in names]
        return [mark.job for mark in sorted(marks, key=lambda mark: mark.at, reverse=True)]

    def _refusal(self, content: Content) -> str:
        return f"{content.key}.{self._asked}{_REFUSED}"


def _file_key(folder: Path, path: str) -> str:
    return f"files/{_digest(str(folder), path)[:_DIGITS]}"


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
