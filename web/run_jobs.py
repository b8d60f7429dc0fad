"""Starts, cancels, resumes and retries jobs. Without Redis, this machine labels one job at a time."""

import fcntl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalogue.catalogue import Catalogue, open_catalogue
from models.errors import InputError, JobError
from models.process import python_command, python_environment
from models.reference import models_given
from models.whole_file import open_lock
from web.catalogues import Places
from web.jobs import JobIndex, WebJob
from web.settings import WebSettings
from worker.job.job import CANCELLED, Job, begin_retry
from worker.job.receipt import job_receipt
from worker.label import LOCK_FILE
from worker.queue.console import remarks
from worker.queue.control import Control, cancel, look_around, open_control
from worker.queue.settings import read_settings
from worker.queue.submit import new_name, submit
from worker.request import JobOptions, Priority, SubmitRequest

_END_S: Final = 10.0
_LONGEST_REASON: Final = 600

_NO_NULL: Final = "^[^\0]*$"
Text = Annotated[str, Field(min_length=1, max_length=8000, pattern=_NO_NULL)]
Place = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000, pattern=_NO_NULL)]


class NewJob(BaseModel):
    """A catalogue to label, with options of ``hangtag submit``."""

    model_config = ConfigDict(extra="forbid")

    source: Place | None = Field(None, description="A catalogue or a folder on the server, or a URL of a catalogue.")
    model: Text | list[Text] | None = Field(
        None,
        description="shop@champion, or a bundle's path. Default: the server's model. A list for several models: "
        "category=shop@champion, colour=colours@champion.",
    )
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = Field(
        None, description="Of the job."
    )
    image_column: Text | None = Field(
        None, description="The column with the photos. Default: detected from column names and cells."
    )
    image_root: Place | None = Field(None, description="Where relative paths start: a folder on the server, or a URL.")
    image_suffix: Text | None = Field(
        None, description="Suffix for paths without an image extension, such as product ids."
    )
    encoding: Text | None = Field(None, description="Encoding of a text catalogue.")
    group_column: Text | None = Field(None, description="The column that identifies the product of each photo.")
    precision: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="A precision that the model supports."
    )
    priority: Priority = Priority.NORMAL


class LocalQueue:
    """Runs commands on this machine, one after another, each in its own process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[str]] = {}
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._failed: dict[str, str] = {}
        self._stopped: set[str] = set()
        self._closed = False

    def add(self, id: str, command: list[str]) -> None:
        """Queue the command that labels a job, even if the same job is still running."""
        with self._lock:
            if not self._closed:
                self._failed.pop(id, None)
                self._waiting[id] = command
        self._start_next()

    def stop(self, id: str) -> None:
        """Remove a job from the queue, or interrupt the job's process."""
        with self._lock:
            self._waiting.pop(id, None)
            if process := self._running.get(id):
                self._stopped.add(id)
                process.send_signal(2)

    def knows(self, id: str) -> bool:
        """Whether a job waits or is being labelled on this machine."""
        with self._lock:
            return id in self._waiting or id in self._running

    def is_running(self, id: str) -> bool:
        """Whether a job is being labelled on this machine."""
        with self._lock:
            return id in self._running

    def remark(self, id: str) -> str | None:
        """Why a job is not running: an empty text for a running job, None for an unknown job."""
        with self._lock:
            if id in self._running:
                return ""
            if id in self._waiting:
                return "This job waits until another job of this machine is done."
            return f"Labelling stopped: {self._failed[id]}" if id in self._failed else None

    def close(self) -> None:
        """Interrupt the process that labels a job, and wait for its end."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            running = list(self._running.values())
        for process in running:
            process.send_signal(2)
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()

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
        reason = process.communicate()[1].strip()
        with self._lock:
            del self._running[id]
            if process.returncode and id not in self._stopped:
                self._failed[id] = reason[-_LONGEST_REASON:] or f"its process ended with status {process.returncode}"
            self._stopped.discard(id)
        self._start_next()


class JobRunner:
    """Starts and controls the web page's jobs."""

    def __init__(self, settings: WebSettings, jobs: JobIndex) -> None:
        self._settings = settings
        self._jobs = jobs
        self.places = Places(settings)
        self.local = LocalQueue()

    @property
    def queued(self) -> bool:
        """Whether workers label the jobs instead of this machine."""
        return self._settings.redis is not None

    def start_job(
        self, new: NewJob, model: str | list[str], upload: Path | None = None
    ) -> tuple[WebJob, tuple[str, ...]]:
        """Write a job and start its labelling. Raises InputError, JobError, BundleError, RegistryError.

        Args:
            new: the catalogue and its options.
            model: a path or a name in the registry. Several models need names: ``category=shop@champion``.
            upload: an uploaded catalogue, instead of ``new.source``. The caller may delete the file after the call.

        Returns:
            The job, and remarks on its catalogue.
        """
        request = self._request(new, model, upload)
        catalogue = _uploaded_catalogue(request) if upload else None
        if self.queued:
            with self._control() as control:
                control.check_redis()
                submitted = submit(request, control.jobs, catalogue=catalogue)
        else:
            self._check_local()
            submitted = submit(request, self._jobs.queued, catalogue=catalogue)
        job = self._jobs.find(submitted.name)
        self._label(job)
        return job, submitted.words

    def cancel_job(self, job: WebJob) -> None:
        """Stop a job. Finished rows are kept. Raises JobError."""
        whole = job.whole
        if job_receipt(whole.job):
            msg = f"{whole.title} is finished and cannot be cancelled."
            raise JobError(msg)
        if whole.result and not self.local.knows(whole.id):
            msg = f"A command is labelling {whole.title}; stop that command with Ctrl-C."
            raise JobError(msg)
        if whole.result is None:
            cancel(whole.title, whole.job)
        self.local.stop(whole.id)

    def resume_job(self, job: WebJob) -> None:
        """Continue a cancelled job, or a job whose process has ended. Raises JobError."""
        whole = job.whole
        if job_receipt(whole.job):
            msg = f"{whole.title} is finished and cannot be resumed."
            raise JobError(msg)
        self._check_workers(whole)
        whole.job.storage.delete(CANCELLED)
        self._label(whole)

    def retry_job(self, job: WebJob) -> Counter[str]:
        """Retry a finished job's failed rows that may succeed now; returns row counts by error. Raises JobError."""
        whole = job.whole
        receipt = job_receipt(whole.job)
        if receipt is None:
            msg = f"Expected a finished job, but {whole.title} is not finished; wait, or resume the job."
            raise JobError(msg)
        self._check_workers(whole)
        faults = begin_retry(whole.job, receipt.retry + 1)
        if not faults:
            msg = f"No failed row of {whole.title} can succeed on another try; correct the photos or the catalogue."
            raise JobError(msg)
        self._label(whole)
        return faults

    def remarks(self, job: WebJob) -> list[str]:
        """Why an unfinished job does not progress, one reason per line."""
        whole = job.whole
        if self._by_workers(whole):
            with self._control() as control:
                return remarks(look_around(whole.id, control.state), control.jobs.known_identity())
        remark = self.local.remark(whole.id)
        if remark is not None:
            return [remark] if remark else []
        if _is_being_labelled(whole.job):
            return []
        return ["No process is labelling this job. Resume it: finished rows are kept."]

    def close(self) -> None:
        """Stop labelling on this machine."""
        self.local.close()

    def _by_workers(self, job: WebJob) -> bool:
        return self.queued and job.result is None

    @contextmanager
    def _control(self) -> Iterator[Control]:
        with open_control(read_settings(self._settings.redis, self._settings.jobs)) as control:
            yield control

    def _check_workers(self, job: WebJob) -> None:
        if self._by_workers(job):
            with self._control() as control:
                control.check_redis()
        elif job.result is None:
            self._check_local()

    def _check_local(self) -> None:
        if self._jobs.queued.storage("any").on_disk("") is None:
            msg = f"Expected --redis for jobs in {self._jobs.queued.place}; start hangtag web with --redis."
            raise InputError(msg)

    def _label(self, job: WebJob) -> None:
        if self._by_workers(job):
            with self._control() as control:
                look_around(job.id, control.state, lambda: control.reconciler.supply(job.id))
        elif job.result:
            self.local.add(job.id, python_command("worker.label", str(job.result)))
        else:
            self.local.add(job.id, python_command("worker.label", self._jobs.queued.place, job.id))

    def _request(self, new: NewJob, model: str | list[str], upload: Path | None) -> SubmitRequest:
        source = str(upload) if upload else self.places.checked(new.source or "", "the catalogue")
        models = models_given(model if isinstance(model, list) else [model])
        check = self.places.checked_model
        return SubmitRequest(
            source=source,
            model={name: check(str(one)) for name, one in models.items()}
            if isinstance(models, dict)
            else check(str(models)),
            options=JobOptions(
                precision=new.precision,
                group_column=new.group_column,
                allow_hosts=list(self._settings.allow_host) if self._settings.allow_host else None,
                image_column=new.image_column,
                image_root=self.places.checked(new.image_root, "the image root") if new.image_root else None,
                image_suffix=new.image_suffix,
                encoding=new.encoding,
                registry=self._settings.registry,
            ),
            name=new.name or new_name(source),
            priority=new.priority,
        )


def _uploaded_catalogue(request: SubmitRequest) -> Catalogue:
    place, options = request.source, request.options
    opened = open_catalogue(
        place,
        options.image_column,
        options.image_root,
        options.encoding,
        image_suffix=options.image_suffix,
        confined=True,
    )
    return replace(opened, source=Path(place).name)


def _is_being_labelled(job: Job) -> bool:
    folder = job.storage.on_disk("")
    if folder is None or not (folder / LOCK_FILE).exists():
        return False
    with open_lock(folder / LOCK_FILE) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
