"""Catalogue files of a watched folder become a job each."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from models.errors import HangtagError, InputError
from models.storage.storage import Storage
from worker.jobs import Jobs
from worker.queue.inbox.console import InboxView
from worker.queue.inbox.files import Found
from worker.queue.inbox.request import InboxRequest, check_options, make_job
from worker.queue.submit import name_part
from worker.receipt import finished_receipt

__all__ = ["CatalogueMarks", "CatalogueTaker", "Content", "last_finished"]

_TAKEN: Final = ".json"
_REFUSED: Final = ".refused.json"
_DIGITS: Final = 32
_NAME_DIGITS: Final = 12


class _ChangedError(Exception):
    """The file changed after its content was looked at; it must settle again."""


class CatalogueTaker:
    """Takes files that have settled, each content of each once.

    The job comes first and the mark after it: who is killed between the two leaves a job whose name the next one finds.

    ``supply`` is called with the name of each new job.
    """

    def __init__(self, request: InboxRequest, jobs: Jobs, view: InboxView, supply: Callable[[str], None]) -> None:
        self._request = request
        self._jobs = jobs
        self._view = view
        self._supply = supply
        self._marks = CatalogueMarks(jobs.watched, request.asked)
        self._done: dict[str, Found] = {}

    def is_done(self, file: Found) -> bool:
        """Whether a file was taken, or refused, by this process, and has not been written since."""
        return self._done.get(file.path) == file

    def take(self, file: Found) -> bool:
        """Make a file's job, unless it has been made or refused before.

        Returns:
            Whether it was not refused just now.

        Raises:
            HangtagError, OSError: for a reason that may pass.
        """
        place = self._request.folder / file.path
        fine = True
        try:
            _check_same(place, file)
            content = Content(self._request.folder, file.path, _sha256(place))
            _check_same(place, file)
            if not self._marks.is_known(content):
                fine = self._make(content, place, file)
        except _ChangedError:
            return True
        self._done[file.path] = file
        return fine

    def _make(self, content: "Content", place: Path, file: Found) -> bool:
        previous = None
        if self._request.previous_last:
            previous = last_finished(self._marks.jobs_of(self._request.folder, file.path), self._jobs)
        request = self._request.of(place, content.job, previous)
        try:
            submitted = make_job(request, self._jobs, lambda _: _check_same(place, file))
        except (InputError, pa.ArrowInvalid) as error:
            _check_same(place, file)
            check_options(self._request.each)
            if self._marks.refused(content, str(error)):
                self._view.refused(file.path, str(error))
                return False
            return True
        self._marks.taken(content, submitted.name)
        self._view.submitted(file.path, submitted)
        self._supply(submitted.name)
        return True


def _sha256(place: Path) -> str:
    try:
        with place.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise _ChangedError from error


def _check_same(place: Path, file: Found) -> None:
    try:
        seen = place.stat()
    except FileNotFoundError as error:
        raise _ChangedError from error
    if (seen.st_size, seen.st_mtime_ns, seen.st_ino) != (file.size, file.mtime_ns, file.inode):
        raise _ChangedError


def last_finished(names: list[str], jobs: Jobs) -> str | None:
    """The first of some jobs that is there and finished; one of another version is passed over."""
    for name in names:
        try:
            job = jobs.get(name)
            if job is not None and finished_receipt(job) is not None:
                return name
        except HangtagError:
            continue
    return None


@dataclass(frozen=True)
class Content:
    """What a file, by its path relative to an absolute folder, held at some time: what is taken once."""

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
        """The key of its marks, without an ending."""
        return f"{_file_key(self.folder, self.path)}/{self.sha256[:_DIGITS]}"


class _TakenFile(BaseModel):
    """A mark: the file with this content became that job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    file: str
    sha256: str
    job: str
    at: str


class CatalogueMarks:
    """Marks in the folder of jobs: what became of each content of each file. The first mark that is committed counts.

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
        folder, at = str(content.folder), _now()
        mark = _TakenFile(folder=folder, file=content.path, sha256=content.sha256, job=job, at=at)
        self._storage.commit(content.key + _TAKEN, mark.model_dump_json(indent=1).encode())

    def refused(self, content: Content, reason: str) -> bool:
        """No job can be made of it; ``False`` where somebody has said so before."""
        mark = {"file": content.path, "sha256": content.sha256, "reason": reason, "at": _now()}
        return self._storage.commit(self._refusal(content), json.dumps(mark, indent=1, ensure_ascii=False).encode())

    def jobs_of(self, folder: Path, path: str) -> list[str]:
        """Names of the jobs of all that a file has held, the latest first."""
        key = _file_key(folder, path)
        names = [name for name in self._storage.names(key) if name.endswith(_TAKEN) and not name.endswith(_REFUSED)]
        marks = [_TakenFile.model_validate_json(self._storage.read(f"{key}/{name}")) for name in names]
        return [mark.job for mark in sorted(marks, key=lambda mark: mark.at, reverse=True)]

    def _refusal(self, content: Content) -> str:
        return f"{content.key}.{self._asked}{_REFUSED}"


def _file_key(folder: Path, path: str) -> str:
    return f"files/{_digest(str(folder), path)[:_DIGITS]}"


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
