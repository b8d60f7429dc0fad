"""One look at a watched folder, and what follows from it. The clock is passed in: seconds that never run backwards."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import Final, NoReturn

from worker.jobs import Jobs
from worker.queue.inbox.catalogues import CatalogueTaker
from worker.queue.inbox.console import InboxView
from worker.queue.inbox.files import CATALOGUE_SUFFIXES, Backoff, Found, Gathering, Kind, Look, Settling, look_into
from worker.queue.inbox.photos import PhotoTaker
from worker.queue.inbox.request import InboxRequest
from worker.queue.options import Only

__all__ = ["Inbox", "look_once", "watch_folder"]


GATHER_S: Final = 60.0
"""How long photos wait for others that are still coming."""

_PHOTOS: Final = "photos"


class Inbox:
    """Makes jobs of what comes into a folder.

    Any number may watch one folder, and each may be killed at any moment: what is done is noted in the folder of jobs,
    where the first commit wins.

    Args:
        request: what is watched, and what the jobs are to be.
        jobs: where to.
        view: is told what becomes of files.
        supply: called with the name of each new job.

    Attributes:
        faults: how many files were refused, or could not be taken, so far.
    """

    def __init__(self, request: InboxRequest, jobs: Jobs, view: InboxView, supply: Callable[[str], None]) -> None:
        self._request = request
        self._view = view
        self._catalogues = CatalogueTaker(request, jobs, view, supply)
        self._photos = PhotoTaker(request, jobs, view, supply)
        self._settling = Settling(request.settle_s)
        self._gathering = Gathering(GATHER_S)
        self._backoff = Backoff()
        self._left_out: set[str] = set()
        self._unreadable: set[str] = set()
        self.faults = 0

    def look(self, now: float, *, gather: bool = True) -> None:
        """See what is in the folder, and take what has settled.

        Args:
            now: the time.
            gather: whether photos that have settled wait for those that have not.
        """
        looks: list[Look] = []
        self._try("the folder", now, lambda: looks.append(self._look()))
        for look in looks:
            self._note_unreadable(look.unreadable, now)
            self._take(look.files, now, gather=gather)

    def _look(self) -> Look:
        return look_into(self._request.folder, deep=self._request.only is not Only.CATALOGUES)

    def _take(self, files: Sequence[Found], now: float, *, gather: bool) -> None:
        new = [file for file in files if self._is_new(file)]
        settled = self._settling.settled(new, now)
        for file in settled:
            if file.kind is Kind.CATALOGUE:
                self._try(file.path, now, partial(self._take_catalogue, file))
            elif file.kind is Kind.OTHER:
                self._leave_out(file)
        photos = [file for file in settled if file.kind is Kind.PHOTO]
        coming = sum(file.kind is Kind.PHOTO for file in new) - len(photos)
        ripe = self._gathering.is_ripe(len(photos), coming if gather else 0, now)
        if ripe or self._photos.has_unfinished:
            self._try(_PHOTOS, now, lambda: self._photos.take(photos if ripe else []))

    def _is_new(self, file: Found) -> bool:
        match file.kind:
            case Kind.CATALOGUE:
                return self._request.only is not Only.PHOTOS and not self._catalogues.is_done(file)
            case Kind.PHOTO:
                return self._request.only is not Only.CATALOGUES and not self._photos.is_done(file)
        return self._request.only is None and _kind_of_other(file) not in self._left_out

    def _take_catalogue(self, file: Found) -> None:
        if not self._catalogues.take(file):
            self.faults += 1

    def _leave_out(self, file: Found) -> None:
        kind = _kind_of_other(file)
        if kind not in self._left_out:
            self._left_out.add(kind)
            self._view.left_out(file.path, kind)

    def _note_unreadable(self, folders: Mapping[str, str], now: float) -> None:
        for folder in self._unreadable - folders.keys():
            self._backoff.succeeded(_of_sub_folder(folder))
        for folder, reason in folders.items():
            self._note_failure(_of_sub_folder(folder), reason, now)
        self._unreadable = set(folders)

    def _try(self, what: str, now: float, do: Callable[[], None]) -> None:
        if not self._backoff.may_try(what, now):
            return
        try:
            do()
        except Exception as error:  # noqa: BLE001 - a watch that ended would strand the folder
            self._note_failure(what, str(error) or type(error).__name__, now)
        else:
            self._backoff.succeeded(what)

    def _note_failure(self, what: str, reason: str, now: float) -> None:
        self.faults += 1
        if self._backoff.failed(what, reason, now):
            self._view.trouble(what, reason)


def _of_sub_folder(path: str) -> str:
    """What a failure of a sub-folder is called, which may itself be called as anything else is."""
    return f"{path}/"


def _kind_of_other(file: Found) -> str:
    """Why a file is neither a catalogue nor a photo; the same for all like it."""
    suffix = PurePath(file.path).suffix.lower()
    if suffix in CATALOGUE_SUFFIXES and "/" in file.path:
        return "catalogues are taken from the folder itself, not from its sub-folders"
    try:
        file.path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    return f"{suffix or 'a name without ending'} says neither catalogue nor photo"


_EFFORT: Final = 0.2
"""The share of the time that looking may take: a network disk with many files has others to serve."""


def watch_folder(inbox: Inbox, every_s: float) -> NoReturn:
    """Look until somebody ends this; a look may end anywhere, as with ``kill -9``."""
    while True:
        start = time.monotonic()
        inbox.look(start)
        time.sleep(max(every_s, (time.monotonic() - start) / _EFFORT))


def look_once(inbox: Inbox, settle_s: float) -> bool:
    """Take what stays the same for so many seconds.

    Returns:
        Whether all of it became jobs.
    """
    inbox.look(time.monotonic(), gather=False)
    if settle_s:
        time.sleep(settle_s)
        inbox.look(time.monotonic(), gather=False)
    return not inbox.faults
