"""Looks at a watched folder, and what follows from each. Times are monotonic seconds."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NoReturn, TypeVar

from worker.jobs import Jobs
from worker.queue.inbox.catalogues import CatalogueTaker
from worker.queue.inbox.console import InboxView
from worker.queue.inbox.files import Backoff, Found, Gathering, Kind, Settling, look_into, why_left_out
from worker.queue.inbox.photos import PhotoTaker
from worker.queue.inbox.request import InboxRequest
from worker.queue.options import Only

__all__ = ["Inbox", "look_once", "watch_folder"]

T = TypeVar("T")

GATHER_S: Final = 60.0
"""How long photos wait for others that are still coming."""

_EFFORT: Final = 0.2
"""The share of the time that looking may take: a network disk with many files has others to serve."""


def watch_folder(inbox: "Inbox", every_s: float) -> NoReturn:
    """Look until somebody ends this; a look may end anywhere, as with ``kill -9``."""
    while True:
        start = time.monotonic()
        inbox.look(start)
        time.sleep(max(every_s, (time.monotonic() - start) / _EFFORT))


def look_once(inbox: "Inbox", settle_s: float) -> bool:
    """Take what stays the same for ``settle_s``; returns whether all of it became jobs."""
    inbox.look(time.monotonic(), gather=False)
    if settle_s:
        time.sleep(settle_s)
        inbox.look(time.monotonic(), gather=False)
    return not inbox.faults


class Inbox:
    """Makes jobs of what comes into a folder.

    Any number may watch one folder, and each may be killed at any moment: what is done is noted in the folder of jobs,
    where the first commit wins.

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
        """See what is in the folder, and take what has settled; ``gather`` lets photos wait for those that have not."""
        with_sub_folders = self._request.only is not Only.CATALOGUES
        found = self._try("the folder", now, lambda: look_into(self._request.folder, deep=with_sub_folders))
        if found:
            self._note_unreadable(found.unreadable, now)
            self._take(found.files, now, gather=gather)

    def _take(self, files: Sequence[Found], now: float, *, gather: bool) -> None:
        new = [file for file in files if self._is_new(file)]
        settled = self._settling.settled(new, now)
        for file in settled:
            if file.kind is Kind.CATALOGUE:
                if self._try(file.path, now, partial(self._catalogues.take, file)) is False:
                    self.faults += 1
            elif file.kind is Kind.OTHER and (reason := why_left_out(file)) not in self._left_out:
                self._left_out.add(reason)
                self._view.left_out(file.path, reason)
        photos = [file for file in settled if file.kind is Kind.PHOTO]
        coming = sum(file.kind is Kind.PHOTO for file in new) - len(photos)
        ripe = self._gathering.is_ripe(len(photos), coming if gather else 0, now)
        if ripe or self._photos.has_unfinished:
            self._try("photos", now, lambda: self._photos.take(photos if ripe else []))

    def _is_new(self, file: Found) -> bool:
        match file.kind:
            case Kind.CATALOGUE:
                return self._request.only is not Only.PHOTOS and not self._catalogues.is_done(file)
            case Kind.PHOTO:
                return self._request.only is not Only.CATALOGUES and not self._photos.is_done(file)
        return self._request.only is None and why_left_out(file) not in self._left_out

    def _note_unreadable(self, folders: Mapping[str, str], now: float) -> None:
        for folder in self._unreadable - folders.keys():
            self._backoff.succeeded(f"{folder}/")  # as no file is called
        for folder, reason in folders.items():
            self._note_failure(f"{folder}/", reason, now)
        self._unreadable = set(folders)

    def _try(self, what: str, now: float, do: Callable[[], T]) -> T | None:
        """The answer of ``do``; ``None`` if it failed, or has to wait after an earlier failure."""
        if not self._backoff.may_try(what, now):
            return None
        try:
            done = do()
        except Exception as error:  # noqa: BLE001 - a watch that ended would strand the folder
            self._note_failure(what, str(error) or type(error).__name__, now)
            return None
        self._backoff.succeeded(what)
        return done

    def _note_failure(self, what: str, reason: str, now: float) -> None:
        self.faults += 1
        if self._backoff.failed(what, reason, now):
            self._view.trouble(what, reason)
