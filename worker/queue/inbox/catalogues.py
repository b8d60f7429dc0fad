"""Catalogue files of a watched folder become a job each, once for each content.

The job comes first and its mark after it: a process killed between the two leaves a job that the next one finds by its
name. Of two marks the first one committed counts.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from models.errors import HangtagError, InputError, JobError
from worker.job.jobs import Jobs
from worker.job.receipt import job_receipt
from worker.queue.inbox.files import FoundFile
from worker.queue.inbox.request import InboxRequest, check_options, make_job
from worker.queue.submit import NoPhotosError, Submitted, name_part

_TAKEN: Final = ".json"
_REFUSED: Final = ".refused.json"
_DIGITS: Final = 32
_NAME_DIGITS: Final = 12


class _ChangedError(Exception):
    """The file changed after its content was looked at; it must settle again."""


@dataclass(frozen=True)
class Skipped:
    """A file whose content was submitted or refused before.

    Attributes:
        place: its path.
        job: the name of its job, or an empty text if nobody knows it. None if the file was refused.
        why: it was refused; or how the job's options differ from those of now.
    """

    place: Path
    job: str | None = None
    why: str = ""

    @property
    def other_options(self) -> bool:
        """Whether it became a job with other options."""
        return self.job is not None and bool(self.why)


class Catalogues:
    """Takes files that have settled; each content's outcome is marked in ``_watched`` of the folder of jobs."""

    def __init__(self, request: InboxRequest, jobs: Jobs) -> None:
        self._request = request
        self._jobs = jobs
        self._refused = f".{_digest(request.asked)[:_NAME_DIGITS]}{_REFUSED}"  # it holds for what is asked the same way
        self._done: dict[str, FoundFile] = {}

    def is_done(self, file: FoundFile) -> bool:
        """Whether this process has taken or refused a file, and it has not changed since."""
        return self._done.get(file.path) == file

    def take(self, file: FoundFile) -> Submitted | Skipped | str | None:
        """Make a file's job, unless it has been made or refused before.

        Returns:
            The job; or why no job can be made of it, if that was not reported before; or what became of it before.

        Raises:
            HangtagError, OSError: it failed for a reason that may pass.
        """
        place = self._request.folder / file.path
        try:
            _check_same(place, file)
            sha256 = _sha256(place)
            _check_same(place, file)
            key = f"{self._key(file)}/{sha256[:_DIGITS]}"
            outcome = self._known(place, key) or self._make(file, sha256, key)
        except _ChangedError:
            return None
        self._done[file.path] = file
        return outcome

    def _known(self, place: Path, key: str) -> Skipped | None:
        """What became of a content before."""
        if (taken := self._mark(key + _TAKEN)) is not None:
            name = str(taken.get("job", ""))
            return Skipped(place, name, self._other_settings(name))
        refused = self._mark(key + self._refused)
        return None if refused is None else Skipped(place, why=str(refused.get("reason", "")))

    def _mark(self, key: str) -> Mapping[str, object] | None:
        """Read a mark: an empty mapping if it is damaged, None if there is none."""
        try:
            mark = json.loads(self._jobs.watched.read(key))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return mark if isinstance(mark, dict) else {}

    def _other_settings(self, name: str) -> str:
        """How the options of a job differ from those of now; empty too if the job is not there, or damaged."""
        try:
            job = self._jobs.get(name) if name else None
        except HangtagError:
            return ""
        return self._request.other_settings(job) if job else ""

    def _make(self, file: FoundFile, sha256: str, key: str) -> Submitted | Skipped | str | None:
        folder, place = str(self._request.folder), self._request.folder / file.path
        mark = {"file": file.path, "sha256": sha256}
        name = f"{name_part(Path(file.path).stem)}-{_digest(folder, file.path, sha256)[:_NAME_DIGITS]}"
        previous = last_finished(self._earlier_jobs(file), self._jobs) if self._request.previous_last else None
        request = self._request.of_catalogue(place, name, previous)
        try:
            submitted = make_job(request, self._jobs, lambda _: _check_same(place, file))
        except (InputError, pa.ArrowInvalid) as error:
            _check_same(place, file)
            if isinstance(error, NoPhotosError):  # they may be on their way
                raise
            check_options(self._request.each)
            return str(error) if self._commit(key + self._refused, {**mark, "reason": str(error)}) else None
        self._commit(key + _TAKEN, {"folder": folder, **mark, "job": name})
        other = "" if submitted.new else self._request.other_settings(submitted.job)
        return Skipped(place, name, other) if other else submitted

    def _earlier_jobs(self, file: FoundFile) -> list[str]:
        """Names of the jobs of all contents that a file has had, the latest first."""
        key, watched = self._key(file), self._jobs.watched
        names = [name for name in watched.names(key) if name.endswith(_TAKEN) and not name.endswith(_REFUSED)]
        return [job for _, job in sorted((self._read(f"{key}/{name}") for name in names), reverse=True)]

    def _read(self, key: str) -> tuple[str, str]:
        """When a job was made of a file, and the job's name."""
        watched = self._jobs.watched
        try:
            mark = json.loads(watched.read(key))
            return str(mark["at"]), str(mark["job"])
        except (ValueError, TypeError, LookupError) as error:
            msg = f'Expected "job" and "at" in {watched.place}/{key}, it is damaged; bring back a copy or delete it.'
            raise JobError(msg) from error

    def _key(self, file: FoundFile) -> str:
        return f"files/{_digest(str(self._request.folder), file.path)[:_DIGITS]}"

    def _commit(self, key: str, mark: dict[str, str]) -> bool:
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        return self._jobs.watched.commit(key, json.dumps({**mark, "at": at}, indent=1, ensure_ascii=False).encode())


def _sha256(place: Path) -> str:
    try:
        with place.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise _ChangedError from error


def _check_same(place: Path, file: FoundFile) -> None:
    try:
        seen = place.stat()
    except FileNotFoundError as error:
        raise _ChangedError from error
    if (seen.st_size, seen.st_mtime_ns, seen.st_ino) != (file.size, file.mtime_ns, file.inode):
        raise _ChangedError


def last_finished(names: list[str], jobs: Jobs) -> str | None:
    """The first of some jobs that exists and is finished; jobs of another version are skipped."""
    for name in names:
        try:
            job = jobs.get(name)
            if job is not None and job_receipt(job) is not None:
                return name
        except HangtagError:
            continue
    return None


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
