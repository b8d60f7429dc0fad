"""What ``hangtag watch`` does."""

import signal
from pathlib import Path
from types import FrameType

from models.errors import InputError, StoppedError
from worker.queue.console import remarks
from worker.queue.control import look_around, open_control
from worker.queue.inbox.console import InboxView
from worker.queue.inbox.inbox import Inbox, look_once, watch_folder
from worker.queue.inbox.request import InboxRequest, check_options
from worker.queue.settings import QueueSettings
from worker.queue.submit import previous_job

__all__ = ["submit_what_comes"]


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
    view = InboxView(as_json=as_json)
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
