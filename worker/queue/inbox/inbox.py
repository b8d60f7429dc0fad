"""Makes jobs of a watched folder's files, one look after another. Times are monotonic seconds."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, TypeVar

from models.errors import InputError, StoppedError
from models.text import number_of
from worker.job.jobs import Jobs
from worker.queue.console import remarks
from worker.queue.control import look_around, open_control
from worker.queue.inbox.catalogues import Catalogues, Skipped
from worker.queue.inbox.console import InboxView
from worker.queue.inbox.files import Backoff, FileKind, FoundFile, Gathering, Settling, look_into, why_left_out
from worker.queue.inbox.photos import PhotoLog
from worker.queue.inbox.request import InboxRequest, check_options, make_job
from worker.queue.options import Only
from worker.queue.settings import QueueSettings
from worker.queue.submit import Submitted, previous_job

T = TypeVar("T")

_EFFORT: Final = 0.2
"""The share of the time that looking may take: a network disk with many files has others to serve."""


def submit_what_comes(request: InboxRequest, settings: QueueSettings, *, once: bool, as_json: bool) -> bool:
    """Make jobs of a folder's files, until told to stop, or once.

    SIGTERM ends it with status 0; however it ends, the next call goes on where it was.

    Returns:
        Whether every file that was seen became part of a job.

    Raises:
        InputError: the folder, the image root or an option cannot be used.
        JobError: the job to carry over from is not there, or not done.
        BundleError: the model is damaged or disagrees with itself on this machine.
        StoppedError: somebody pressed Ctrl-C.
    """
    before = signal.signal(signal.SIGTERM, _end)
    try:
        return _submit(request, settings, once=once, as_json=as_json)
    except KeyboardInterrupt as stopped:
        msg = "Watching stopped. Workers go on with the jobs; run the same command again to watch for new files."
        raise StoppedError(msg) from stopped
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _submit(request: InboxRequest, settings: QueueSettings, *, once: bool, as_json: bool) -> bool:
    _check(request, settings)
    view = InboxView(as_json=as_json, once=once)
    with open_control(settings) as control:
        previous_job(request.previous, control.jobs)
        jobs_id, said = control.jobs.identity(), set[str]()

        def supply(name: str) -> None:
            """Queue a job's first chunks; a hindrance is reported once, not with every job."""
            status = look_around(name, control.state, lambda: control.reconciler.supply(name))
            lines = remarks(status, jobs_id)
            for line in lines:
                if line not in said:
                    view.remark(line)
            said.clear()
            said.update(lines)

        inbox = Inbox(request, control.jobs, view, supply)
        if not once:
            view.begins(str(request.folder), control.jobs.place)
            watch_folder(inbox, request.every_s)
        return look_once(inbox, request.settle_s)


def _check(request: InboxRequest, settings: QueueSettings) -> None:
    folder = request.folder
    if not folder.is_dir():
        msg = f"Expected a folder to watch, found none at {folder}."
        raise InputError(msg)
    if "://" not in settings.jobs and Path(settings.jobs).resolve().is_relative_to(folder):
        msg = (
            f"The folder of jobs, {settings.jobs}, lies in the watched folder {folder}; name another --jobs or FOLDER."
        )
        raise InputError(msg)
    check_options(request.each)


def watch_folder(inbox: "Inbox", every_s: float) -> NoReturn:
    """Look at the folder until the process is stopped; a look may be killed at any point."""
    while True:
        start = time.monotonic()
        inbox.look(start)
        time.sleep(max(every_s, (time.monotonic() - start) / _EFFORT))


def look_once(inbox: "Inbox", settle_s: float) -> bool:
    """Take the files that stay the same for ``settle_s``; returns whether all of them became jobs."""
    inbox.look(time.monotonic(), gather=False)
    if settle_s:
        time.sleep(settle_s)
        inbox.look(time.monotonic(), gather=False)
    return not inbox.faults


class Inbox:
    """Makes jobs of what comes into a folder; ``supply`` is called with the name of each.

    Any number may watch one folder, and each may be killed at any moment: what is done is noted in the folder of jobs,
    where the first commit wins.

    Attributes:
        faults: how many files were refused, or could not be taken, so far.
    """

    def __init__(self, request: InboxRequest, jobs: Jobs, view: InboxView, supply: Callable[[str], None]) -> None:
        self._request = request
        self._jobs = jobs
        self._view = view
        self._supply = supply
        self._catalogues = Catalogues(request, jobs)
        self._photos = PhotoLog(jobs.watched, request.folder)
        self._settling = Settling(request.settle_s)
        self._gathering = Gathering()
        self._backoff = Backoff()
        self._left_out: set[str] = set()
        self._skipped: list[Skipped] = []
        self._at_first: frozenset[str] | None = None
        self._unreadable: Mapping[str, str] = {}
        self.faults = 0

    def look(self, now: float, *, gather: bool = True) -> None:
        """Look at the folder once, and take what has settled; with ``gather``, photos wait for those that have not."""
        with_sub_folders = self._request.only is not Only.CATALOGUES
        found = self._try("the folder", now, lambda: look_into(self._request.folder, deep=with_sub_folders))
        if not found:
            return
        self._tell_unreadable(found.unreadable)
        is_first = self._at_first is None
        if self._at_first is None:
            self._at_first = frozenset(file.path for file in found.files)
        new = [file for file in found.files if self._is_new(file)]
        settled = self._settling.settled(new, now)
        for file in settled:
            if file.kind is FileKind.CATALOGUE:
                self._try(file.path, now, partial(self._take_catalogue, file))
            elif file.kind is FileKind.OTHER and (reason := why_left_out(file)) not in self._left_out:
                self._left_out.add(reason)
                self._view.left_out(file.path, reason)
        self._tell_skipped(found.files if is_first else ())
        photos = [file for file in settled if file.kind is FileKind.PHOTO]
        coming = sum(file.kind is FileKind.PHOTO for file in new) - len(photos)
        ripe = self._gathering.is_ripe(len(photos), coming if gather else 0, now)
        if ripe or self._photos.unfinished():
            self._try("photos", now, lambda: self._take_photos(photos if ripe else []))

    def _is_new(self, file: FoundFile) -> bool:
        match file.kind:
            case FileKind.CATALOGUE:
                return self._request.only is not Only.PHOTOS and not self._catalogues.is_done(file)
            case FileKind.PHOTO:
                return self._request.only is not Only.CATALOGUES and not self._photos.knows(file)
        return self._request.only is None and why_left_out(file) not in self._left_out

    def _take_catalogue(self, file: FoundFile) -> None:
        match self._catalogues.take(file):
            case Submitted() as submitted:
                self._made(file.path, submitted)
            case Skipped() as skipped if skipped.other_options or file.path in (self._at_first or ()):
                self._skipped.append(skipped)  # what comes later may be what another watch has taken
            case str(reason):
                self.faults += 1
                self._view.refused(file.path, reason)

    def _take_photos(self, photos: Sequence[FoundFile]) -> None:
        """Make jobs of the photos, and of batches that a killed process left without one."""
        self._photos.add(photos)
        for batch in self._photos.unfinished():
            catalogue = batch.catalogue(str(self._request.folder))
            submitted = make_job(self._request.of_photos(batch.job), self._jobs, catalogue=catalogue)
            self._photos.finished(batch)
            self._made(number_of(len(batch.paths), "photo"), submitted)

    def _made(self, what: str, submitted: Submitted) -> None:
        self._view.submitted(what, submitted)
        self._supply(submitted.name)

    def _tell_skipped(self, files: Sequence[FoundFile]) -> None:
        """Report the catalogues that were known before, and how many of these files are photos that were."""
        if self._skipped:
            self._view.skipped(self._skipped)
            self._skipped = []
        if self._request.only is not Only.CATALOGUES:
            known = sum(file.kind is FileKind.PHOTO and self._photos.knows(file) for file in files)
            if known:
                self._view.skipped_photos(known)

    def _tell_unreadable(self, folders: Mapping[str, str]) -> None:
        """Report each sub-folder that cannot be opened once, and again if the reason changes."""
        self.faults += len(folders)
        for folder, reason in sorted(folders.items() - self._unreadable.items()):
            self._view.trouble(f"{folder}/", reason)
        self._unreadable = folders

    def _try(self, what: str, now: float, do: Callable[[], T]) -> T | None:
        """The result of ``do``; None if it failed, or has to wait after an earlier failure."""
        if not self._backoff.may_try(what, now):
            return None
        try:
            done = do()
        except Exception as error:  # noqa: BLE001 - a watch that ended would strand the folder
            self.faults += 1
            reason = str(error) or type(error).__name__
            if self._backoff.failed(what, reason, now):
                self._view.trouble(what, reason)
            return None
        self._backoff.succeeded(what)
        return done
