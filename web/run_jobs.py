"""Starts, cancels, resumes and retries jobs: on the queue, or without Redis on this machine, one after another."""

import fcntl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from models.errors import InputError, JobError
from models.process import python_command, python_environment
from models.whole_file import open_lock
from web.catalogues import Places, Uploads
from web.jobs import JobIndex, WebJob
from web.settings import WebSettings
from worker.job import CANCELLED, RETRYABLE, Job, JobOptions, begin_retry
from worker.label import LOCK_FILE
from worker.model import check_promise
from worker.priority import Priority
from worker.queue.console import remarks
from worker.queue.control import Control, QueueStatus, look_around, open_control
from worker.queue.settings import read_settings
from worker.queue.submit import new_name, submit
from worker.receipt import finished_receipt
from worker.request import SubmitRequest
from worker.sources.catalogue import Catalogue, open_catalogue

__all__ = ["JobRunner", "LocalQueue", "WantedJob"]

_END_S: Final = 10.0
_SAID: Final = 600


@dataclass(frozen=True)
class WantedJob:
    """What a person asks for.

    Attributes:
        source: a catalogue or a folder of photos, on the server or at a URL; empty with ``upload``.
        model: a bundle's path, or a name of the registry such as ``shop@champion``.
        upload: what :meth:`web.catalogues.Uploads.keep` has called a file that was sent.
        name: of the job; the source's and the time where it is not given.
    """

    source: str
    model: str
    upload: str | None = None
    name: str | None = None
    image_column: str | None = None
    image_root: str | None = None
    encoding: str | None = None
    group_column: str | None = None
    precision: float | None = None
    priority: Priority = Priority.NORMAL


class JobRunner:
    """Does with jobs what the commands do.

    Args:
        settings: of the server.
        jobs: that are shown.
    """

    def __init__(self, settings: WebSettings, jobs: JobIndex) -> None:
        self._settings = settings
        self._jobs = jobs
        self.places = Places(settings)
        self.uploads = Uploads()
        self.local = LocalQueue()

    @property
    def queued(self) -> bool:
        """Whether workers label the jobs, and not this machine's own processes."""
        return self._settings.redis_url is not None

    def start_job(self, wanted: WantedJob) -> WebJob:
        """Write a job, and have it labelled.

        Raises:
            InputError: the source or an option cannot be used, or the place may not be read.
            JobError: Redis cannot be reached, or another job has that name.
            BundleError, RegistryError: the model cannot be used.
        """
        request = self._request(wanted)
        given = _given(request) if wanted.upload else None
        if self.queued:
            with self._control() as control:
                control.check_redis()
                name = submit(request, control.jobs, catalogue=given).name
                look_around(name, control.state, lambda: control.reconciler.supply(name))
        else:
            self._check_local()
            name = submit(request, self._jobs.queued, catalogue=given).name
        found = self._jobs.find(name)
        self._label(found)
        return found

    def cancel_job(self, found: WebJob) -> None:
        """Stop a job; what is done is kept.

        Raises:
            JobError: it is finished, or a command in a terminal labels it.
        """
        job = found.job
        if finished_receipt(job):
            msg = f"{found.title} is finished, there is nothing to cancel."
            raise JobError(msg)
        if found.result and not self.local.knows(found.id):
            msg = f"A command labels {found.title}; end it where it was started, with Ctrl-C."
            raise JobError(msg)
        if found.result is None:
            job.storage.commit(CANCELLED, b"")
            if finished_receipt(job):  # it was being merged at that moment
                job.storage.delete(CANCELLED)
        self.local.stop(found.id)

    def resume_job(self, found: WebJob) -> None:
        """Go on with a job that was cancelled, or that nothing labels any more.

        Raises:
            JobError: it is finished, or Redis cannot be reached.
        """
        if finished_receipt(found.job):
            msg = f"{found.title} is finished, there is nothing to resume."
            raise JobError(msg)
        self._check_workers(found)
        found.job.storage.delete(CANCELLED)
        self._label(found)

    def retry_job(self, found: WebJob) -> Counter[str]:
        """Try those failed rows of a finished job again that may pass.

        Returns:
            Fault → rows that are tried again; empty if there are none.

        Raises:
            JobError: it is not finished, or Redis cannot be reached.
        """
        receipt = finished_receipt(found.job)
        if receipt is None:
            msg = f"Expected a finished job, {found.title} is not; wait for it, or resume it."
            raise JobError(msg)
        self._check_workers(found)
        check_promise(found.job.spec.model)
        if found.result:
            kinds = Counter({kind: errors.count for kind, errors in receipt.errors.items() if kind in RETRYABLE})
            if kinds:
                self.local.add(found.id, _label_command(found.job, found.result, "--retry-failed"))
            return kinds
        kinds = begin_retry(found.job, receipt.retry + 1)
        if kinds:
            self._label(found)
        return kinds

    def remarks(self, found: WebJob) -> list[str]:
        """What stands in an unfinished job's way, a line each."""
        if self._by_workers(found):
            with self._control() as control:
                return remarks(look_around(found.id, control.state), control.jobs.identity())
        said = self.local.words(found.id)
        if said is not None:
            return [said] if said else []
        if _is_at_work(found.job):
            return []
        return ["Nothing labels this job at the moment. Resume it: what is done is kept."]

    def situation(self, found: WebJob) -> QueueStatus | None:
        """The workers that may label a queued job, and what keeps them from it; none of a job of this machine."""
        if not self._by_workers(found):
            return None
        with self._control() as control:
            return look_around(found.id, control.state)

    def close(self) -> None:
        """Stop what runs on this machine, and remove what was sent."""
        self.local.close()
        self.uploads.close()

    def _by_workers(self, found: WebJob) -> bool:
        return self.queued and found.result is None

    @contextmanager
    def _control(self) -> Iterator[Control]:
        with open_control(read_settings(self._settings.redis_url, self._settings.jobs)) as control:
            yield control

    def _check_workers(self, found: WebJob) -> None:
        if self._by_workers(found):
            with self._control() as control:
                control.check_redis()
        elif found.result is None:
            self._check_local()

    def _check_local(self) -> None:
        if self._jobs.queued.storage("any").on_disk("") is None:
            msg = f"Expected --redis with jobs in {self._jobs.queued.place}; start hangtag web with it."
            raise InputError(msg)

    def _label(self, found: WebJob) -> None:
        """Queue what is missing, or have this machine label it."""
        if self._by_workers(found):
            with self._control() as control:
                look_around(found.id, control.state, lambda: control.reconciler.supply(found.id))
        elif found.result:
            self.local.add(found.id, _label_command(found.job, found.result))
        elif not found.job.cancelled and finished_receipt(found.job) is None:
            self.local.add(found.id, python_command("worker.label_job", self._jobs.queued.place, found.id))

    def _request(self, wanted: WantedJob) -> SubmitRequest:
        upload = wanted.upload
        source = str(self.uploads.path(upload)) if upload else self.places.checked(wanted.source, "the catalogue")
        root = wanted.image_root
        return SubmitRequest(
            source=source,
            model=self.places.checked_model(wanted.model),
            options=JobOptions(
                precision=wanted.precision,
                group_column=wanted.group_column or None,
                allow_hosts=self._settings.allow_hosts or None,
            ),
            name=wanted.name or new_name(source),
            image_column=wanted.image_column or None,
            image_root=self.places.checked(root, "the image root") if root else None,
            encoding=wanted.encoding or None,
            priority=wanted.priority,
            registry=self._settings.registry,
        )


class LocalQueue:
    """Labels jobs on this machine, one after another, each in a process of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[str]] = {}
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._failed: dict[str, str] = {}
        self._stopped: set[str] = set()
        self._closed = False

    def add(self, id: str, command: list[str]) -> None:
        """Have a job labelled by a command when its turn comes; again if it runs, which may be about to end."""
        with self._lock:
            if not self._closed:
                self._failed.pop(id, None)
                self._waiting[id] = command
        self._start_next()

    def stop(self, id: str) -> None:
        """Take a job out of the line, or interrupt the process that labels it."""
        with self._lock:
            self._waiting.pop(id, None)
            running = self._running.get(id)
            if running:
                self._stopped.add(id)
                running.send_signal(2)

    def knows(self, id: str) -> bool:
        """Whether a job waits or is being labelled here."""
        with self._lock:
            return id in self._waiting or id in self._running

    def is_running(self, id: str) -> bool:
        """Whether a job is being labelled here."""
        with self._lock:
            return id in self._running

    def words(self, id: str) -> str | None:
        """What stands in a job's way: an empty text while it runs; None if nothing is known of it."""
        with self._lock:
            if id in self._running:
                return ""
            if id in self._waiting:
                return "It waits until another job of this machine is done."
            return f"Labelling stopped: {self._failed[id]}" if id in self._failed else None

    def close(self) -> None:
        """Interrupt what runs, and wait until it has ended."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            running = list(self._running.values())
        for process in running:
            process.send_signal(2)
        for process in running:
            _end(process)

    def _start_next(self) -> None:
        with self._lock:
            if self._running or not self._waiting:
                return
            id = next(iter(self._waiting))
            process = subprocess.Popen(
                self._waiting.pop(id),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=python_environment(),
            )
            self._running[id] = process
        threading.Thread(target=self._wait, args=(id, process), daemon=True, name=f"label {id}").start()

    def _wait(self, id: str, process: "subprocess.Popen[str]") -> None:
        said = process.communicate()[1].strip()
        with self._lock:
            del self._running[id]
            if process.returncode and id not in self._stopped:
                self._failed[id] = said[-_SAID:] or f"its process ended with status {process.returncode}"
            self._stopped.discard(id)
        self._start_next()


def _end(process: "subprocess.Popen[str]") -> None:
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _given(request: SubmitRequest) -> Catalogue:
    """The catalogue that was sent, which a job calls by its name alone."""
    place, column, root = request.source, request.image_column, request.image_root
    return replace(open_catalogue(place, column, root, request.encoding, confined=True), source=Path(place).name)


def _label_command(job: Job, result: Path, *more: str) -> list[str]:
    """The command that goes on with a job of ``hangtag label``, as its folder tells it."""
    spec, options = job.spec, job.spec.options
    given = {
        "--model": spec.model.path,
        "--variant": spec.model.variant,
        "--output": str(result),
        "--image-column": spec.image_column,
        "--image-root": spec.image_root,
        "--group-column": options.group_column,
        "--precision": options.precision,
        "--threshold": options.threshold,
        "--prefix": options.prefix or None,
        "--top-k": options.top_k,
        "--timeout": options.timeout_s,
        "--download-timeout": options.download_timeout_s,
        "--per-host": spec.per_host,
    }
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    hosts = [word for host in options.allow_hosts or () for word in ("--allow-host", host)]
    safe = ["--excel-safe"] if options.excel_safe else []
    return python_command("hangtag", "label", *words, *hosts, *safe, *more, "--", spec.source)


def _is_at_work(job: Job) -> bool:
    """Whether a process of this machine, of whatever command, labels a job in a folder."""
    folder = job.storage.on_disk("")
    if folder is None or not (folder / LOCK_FILE).exists():
        return False
    with open_lock(folder / LOCK_FILE) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
