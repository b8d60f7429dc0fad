"""Starts, cancels, resumes and retries jobs: on the queue, or without Redis on this machine, one after another."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from catalogue.catalogue import Catalogue, open_catalogue
from models.errors import InputError, JobError
from models.process import python_command
from web.catalogues import Places, Uploads
from web.jobs import JobIndex, WebJob
from web.local_queue import LocalQueue, is_at_work, label_command
from web.settings import WebSettings
from worker.job.job import CANCELLED, RETRYABLE, begin_retry
from worker.job.receipt import job_receipt
from worker.queue.console import remarks
from worker.queue.control import Control, look_around, open_control
from worker.queue.settings import read_settings
from worker.queue.submit import new_name, submit
from worker.request import JobOptions, Priority, SubmitRequest


@dataclass(frozen=True)
class WantedJob:
    """What a person asks for.

    Attributes:
        source: a catalogue or a folder of photos, on the server or at a URL; empty with ``upload``.
        model: a bundle's path, or a name of the registry such as ``shop@champion``; of several, each by its name.
        upload: what :meth:`web.catalogues.Uploads.keep` has called a file that was sent.
        name: of the job; the source's and the time where it is not given.
    """

    source: str
    model: str | Mapping[str, str]
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
        found, job = found.whole, found.whole.job
        if job_receipt(job):
            msg = f"{found.title} is finished, there is nothing to cancel."
            raise JobError(msg)
        if found.result and not self.local.knows(found.id):
            msg = f"A command labels {found.title}; end it where it was started, with Ctrl-C."
            raise JobError(msg)
        if found.result is None:
            job.storage.commit(CANCELLED, b"")
            if job_receipt(job):  # it was being merged at that moment
                job.storage.delete(CANCELLED)
        self.local.stop(found.id)

    def resume_job(self, found: WebJob) -> None:
        """Go on with a job that was cancelled, or that nothing labels any more.

        Raises:
            JobError: it is finished, or Redis cannot be reached.
        """
        found = found.whole
        if job_receipt(found.job):
            msg = f"{found.title} is finished, there is nothing to resume."
            raise JobError(msg)
        self._check_workers(found)
        found.job.storage.delete(CANCELLED)
        self._label(found)

    def retry_job(self, found: WebJob) -> Counter[str]:
        """Try those failed rows of a finished job again that may pass.

        Returns:
            Fault → rows that are tried again.

        Raises:
            JobError: it is not finished, no failed row may pass, or Redis cannot be reached.
        """
        found = found.whole
        receipt = job_receipt(found.job)
        if receipt is None:
            msg = f"Expected a finished job, {found.title} is not; wait for it, or resume it."
            raise JobError(msg)
        self._check_workers(found)
        if found.result:
            kinds = Counter({kind: errors.count for kind, errors in receipt.errors.items() if kind in RETRYABLE})
        else:
            kinds = begin_retry(found.job, receipt.retry + 1)
        if not kinds:
            msg = f"No failed row of {found.title} may pass at another try; correct its photos or its catalogue."
            raise JobError(msg)
        self._label(found, "--retry-failed")
        return kinds

    def remarks(self, found: WebJob) -> list[str]:
        """What stands in an unfinished job's way, a line each."""
        found = found.whole
        if self._by_workers(found):
            with self._control() as control:
                return remarks(look_around(found.id, control.state), control.jobs.identity())
        said = self.local.words(found.id)
        if said is not None:
            return [said] if said else []
        if is_at_work(found.job):
            return []
        return ["Nothing labels this job at the moment. Resume it: what is done is kept."]

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

    def _label(self, found: WebJob, *more: str) -> None:
        """Queue what is missing, or have this machine label it."""
        if self._by_workers(found):
            with self._control() as control:
                look_around(found.id, control.state, lambda: control.reconciler.supply(found.id))
        elif found.result:
            self.local.add(found.id, label_command(found.job, found.result, *more))
        elif not found.job.cancelled and job_receipt(found.job) is None:
            self.local.add(found.id, python_command("worker.label_job", self._jobs.queued.place, found.id))

    def _model(self, wanted: str | Mapping[str, str]) -> str | dict[str, Path | str]:
        if isinstance(wanted, str):
            return self.places.checked_model(wanted)
        return {name: self.places.checked_model(model) for name, model in wanted.items()}

    def _request(self, wanted: WantedJob) -> SubmitRequest:
        upload = wanted.upload
        source = str(self.uploads.path(upload)) if upload else self.places.checked(wanted.source, "the catalogue")
        root = wanted.image_root
        return SubmitRequest(
            source=source,
            model=self._model(wanted.model),
            options=JobOptions(
                precision=wanted.precision,
                group_column=wanted.group_column or None,
                allow_hosts=list(self._settings.allow_hosts or ()) or None,
                image_column=wanted.image_column or None,
                image_root=self.places.checked(root, "the image root") if root else None,
                encoding=wanted.encoding or None,
                registry=self._settings.registry,
            ),
            name=wanted.name or new_name(source),
            priority=wanted.priority,
        )


def _given(request: SubmitRequest) -> Catalogue:
    """The catalogue that was sent, which a job calls by its name alone."""
    place, options = request.source, request.options
    opened = open_catalogue(place, options.image_column, options.image_root, options.encoding, confined=True)
    return replace(opened, source=Path(place).name)
