"""Catalogue files of a watched folder become a job each."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from models.errors import InputError
from worker.jobs import Jobs
from worker.queue.inbox.catalogue_marks import CatalogueMarks, Content
from worker.queue.inbox.conditions import check_conditions
from worker.queue.inbox.files import Found
from worker.queue.inbox.make_job import make_job
from worker.queue.inbox.previous import first_finished
from worker.queue.inbox.request import InboxRequest
from worker.queue.inbox.view import InboxView

__all__ = ["CatalogueTaker"]


class _ChangedError(Exception):
    """The file is not what it was when its content was looked at; it is to settle anew."""


class CatalogueTaker:
    """Takes files that have settled, each content of each once.

    The job comes first and the mark after it: who is killed between the two leaves a job whose name the next one finds.

    Args:
        request: what is watched, and what the jobs are to be.
        jobs: where to.
        view: is told what becomes of files.
        supply: called with the name of each new job.
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

    def _make(self, content: Content, place: Path, file: Found) -> bool:
        request = self._request.of(place, content.job, self._previous(file))
        try:
            submitted = make_job(request, self._jobs, lambda _: _check_same(place, file))
        except (InputError, pa.ArrowInvalid) as error:
            _check_same(place, file)
            check_conditions(self._request.each)
            if self._marks.refused(content, str(error)):
                self._view.refused(file.path, str(error))
                return False
            return True
        self._marks.taken(content, submitted.name)
        self._view.submitted(file.path, submitted)
        self._supply(submitted.name)
        return True

    def _previous(self, file: Found) -> str | None:
        """The last finished job of a file, if that is asked for."""
        if not self._request.previous_last:
            return None
        return first_finished(self._marks.jobs_of(self._request.folder, file.path), self._jobs)


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
