"""Labels a catalogue on this machine, or continues an earlier run.

``python -P -m worker.label JOBS NAME`` labels a submitted job without a queue; ``python -P -m worker.label RESULT``
labels the remaining rows of a result.
"""

import fcntl
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

from catalogue.catalogue import Catalogue
from catalogue.urls import check_allow_hosts, checked_headers, is_url
from catalogue.writers import check_output
from models.classifier import Classifier
from models.errors import ExitCode, HangtagError, InputError, JobError, StoppedError, system_words
from models.preprocess import VERSION as PREPROCESS_VERSION
from models.process import usable_cores
from models.storage.storage import FolderStorage, open_storage
from models.whole_file import open_lock
from pages.render import prepare
from worker.job.job import JOB_FILE, Job, begin_retry, open_job, scratch_folder
from worker.job.jobs import Jobs
from worker.job.model import JobModel, choose_model, moved_words, note_models, verified_model
from worker.job.receipt import JobReceipt, RunFigures, job_receipt
from worker.job.writer import create_job, differences, requested_catalogue
from worker.labelling.earlier_results import carry_over, check_done, terms_of
from worker.labelling.local import main, run_pool
from worker.labelling.process_pool import LABELLING, ProcessPool
from worker.request import LabelRequest
from worker.results.finish import RESULT_FILE, end_job, run_figures
from worker.results.merge import merge_job, upload_lists
from worker.results.receipt_page import TEMPLATE

Progress = Callable[[int, int], None]
"""Called with the numbers of finished rows and of all rows. Rows of earlier runs count as finished."""
LOCK_FILE: Final = "lock"
_LATER: Final = ("numpy.ma", "numpy.random")
"""NumPy modules that merging needs, imported during labelling."""
_EARLY: Final = 4
"""Number of labelling processes that start before the catalogue is read."""


def label(
    request: LabelRequest,
    on_progress: Progress,
    say: Callable[..., None] = lambda *_: None,
    processes: ProcessPool | None = None,
    drawing: ProcessPool | None = None,
) -> JobReceipt:
    """Label a catalogue: one row in, one row out.

    ``say`` prints a sentence in a Rich style. ``processes``: pool for labelling.
    ``drawing``: pool that makes the page's thumbnails. The receipt is also written to ``<output>.job/receipt.json``.
    """
    check_output(request.output, excel_safe=request.options.excel_safe)
    check_allow_hosts(request.options.allow_hosts or ())
    checked_headers(request.options.headers or ())
    folder = job_folder(request.output)
    begun = None if request.restart else open_job(FolderStorage(folder))
    verified = [_verified(request, name, model, begun, say) for name, model in request.models.items()]
    models = [one for one, _ in verified]
    if processes:
        processes.fork(partial(main, [classifier for _, classifier in verified]), _EARLY)
    del verified  # the forks have copies
    trees = [one.question.name for one in models if one.question.model.taxonomy]
    catalogue, options = requested_catalogue(request, request.output.suffix.lower(), trees)
    request = replace(request, options=options)
    if catalogue.column_words:
        say(catalogue.column_words)
    _check_places(request, folder)
    previous = _previous_job(request, folder)
    with only_run(folder):
        if request.restart:
            _empty(folder)
        job = _prepared_job(catalogue, request, FolderStorage(folder), models)
        for remark in catalogue.remarks:
            say(remark)
        if job.spec.delimiter != "," and request.output.suffix.lower() == ".csv":
            between = "tabs" if job.spec.delimiter == "\t" else "semicolons"
            say(f"{request.output.name} is separated by {between}, like the catalogue.")
        receipt = job_receipt(job) if request.output.exists() and not job.missing_chunks() else None
        if receipt and not (request.retry_failed and begin_retry(job, receipt.retry + 1)):
            return receipt  # a person may have edited the result
        _check_preprocessing(job)
        _announce(job, models, previous, say)
        with processes or ProcessPool(LABELLING, _workers(request)) as ready:
            paths = [one.source.path for one in models]
            return run_job(job, request.output, paths, ready, _workers(request), on_progress, drawing, verified=True)


def _announce(job: Job, models: Sequence[JobModel], previous: Job | None, say: Callable[..., None]) -> None:
    for question, one in zip(job.questions, models, strict=True):
        if question.name:
            say(f"{question.name}: {question.model.reference}")
        if not question.model.is_promised:  # the receipt prints promises
            say(one.rule, "yellow")
        if previous and job.missing_chunks():
            terms = terms_of(question.model, question.spec.options)
            say(carry_over(previous, question.storage, terms, question.name))


def job_folder(output: Path) -> Path:
    """The job folder beside a result of ``hangtag label``."""
    return output.with_name(output.name + ".job")


def earlier_job(result: Path) -> Job:
    """Find a result's finished job. ``result``: path of the result or of the job's folder."""
    place = result.resolve()
    folders = [job_folder(place)] if place.name else []  # ``with_name`` fails for the path ``/``
    if place.is_dir() or place.name == RESULT_FILE:
        folders.append(place if place.is_dir() else place.parent)
    for folder in folders:
        job = open_job(FolderStorage(folder))
        if job is not None:
            check_done(job, result.name)
            return job
    msg = (
        f"Expected the job folder {result}.job of the --previous result, found none; without its job folder, "
        "a result cannot be reused."
    )
    raise InputError(msg)


def _verified(
    request: LabelRequest, name: str, model: Path | str, begun: Job | None, say: Callable[[str], None]
) -> tuple[JobModel, Classifier]:
    done = begun is not None and request.output.exists() and not begun.missing_chunks()
    unfinished = begun if not done or request.retry_failed else None
    source, words = choose_model(model, request.options.registry, unfinished.question(name) if unfinished else None)
    if words:
        say(words)
    return verified_model(name, source, request.options)


def _previous_job(request: LabelRequest, folder: Path) -> Job | None:
    if request.previous is None:
        return None
    job = earlier_job(request.previous)
    if job.storage == FolderStorage(folder.resolve()):
        msg = f"{request.output} is both --out and --previous; name another --out."
        raise InputError(msg)
    return job


def _check_places(request: LabelRequest, folder: Path) -> None:
    if request.output.exists() and not is_url(str(request.source)) and request.output.samefile(request.source):
        msg = f"The output {request.output} is the catalogue itself; name another --out."
        raise InputError(msg)
    if folder.exists() and not (folder / LOCK_FILE).exists():
        msg = f"{folder} is not the folder of a job; move it away, or name another --out."
        raise InputError(msg)
    if request.output.exists() and not request.restart and open_job(FolderStorage(folder)) is None:
        msg = f"{request.output} exists and is not a result of this job; move it away, or pass --restart to replace it."
        raise InputError(msg)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK_FILE:
            entry.unlink()


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Lock a job's folder. Raises JobError if another run has the lock."""
    folder.mkdir(exist_ok=True)
    with open_lock(folder / LOCK_FILE) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"Another hangtag label uses {folder}; wait for it, or name another --out."
            raise JobError(msg) from error
        yield


def _prepared_job(
    catalogue: Catalogue, request: LabelRequest, storage: FolderStorage, models: Sequence[JobModel]
) -> Job:
    job, questions = open_job(storage), [one.question for one in models]
    if job is None:
        _empty(storage.root)  # left by a run that was killed before it wrote ``job.json``
        note_models(storage, models)
        return create_job(storage, catalogue, questions, request.options, processes=_workers(request))
    if other := differences(job.spec, catalogue, questions, request.options):
        msg = (
            f"{storage.root} holds another job: {other}.{moved_words(job, models)} Name another --out, or pass "
            "--restart to delete that job."
        )
        raise JobError(msg)
    if job.spec.options.headers == request.options.headers:
        return job
    options = replace(job.spec.options, headers=request.options.headers)  # the headers may have a new access token
    spec = job.spec.model_copy(update={"options": options})
    storage.replace(JOB_FILE, spec.model_dump_json(indent=1).encode())
    return Job(spec, storage)


def _check_preprocessing(job: Job) -> None:
    if job.missing_chunks() and job.spec.preprocess_version != PREPROCESS_VERSION:
        msg = (
            f"{job.storage.place} began with preprocessing version {job.spec.preprocess_version}, but this Hangtag "
            f"has version {PREPROCESS_VERSION}; install the earlier version, or pass --restart."
        )
        raise JobError(msg)


def _workers(request: LabelRequest) -> int:
    return request.workers or usable_cores()


def run_job(
    job: Job,
    output: Path,
    models: Sequence[Path],
    processes: ProcessPool,
    workers: int,
    on_progress: Progress = lambda *_: None,
    drawing: ProcessPool | None = None,
    *,
    verified: bool = False,
) -> JobReceipt:
    """Label a job's unfinished chunks, and write the result. Call it inside ``with only_run(folder)``.

    ``models``: path of each question's model. ``verified``: whether the models' golden samples were checked.
    """
    retry = job.retry()
    left = {chunk: job.rows_left(chunk, retry) for chunk in job.missing_chunks()}
    to_do = sum(left.values())
    done = job.spec.rows - to_do
    on_progress(done, job.spec.rows)

    def advance(chunk: int) -> None:
        nonlocal done
        done += left[chunk]
        on_progress(done, job.spec.rows)

    start = time.monotonic()
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(prepare, TEMPLATE)
        meanwhile.map(import_module, _LATER)
        run_pool(job, models, processes, advance, verified=verified)
    seconds = time.monotonic() - start
    with scratch_folder(job.storage) as scratch:
        merged = merge_job(job, output, scratch)
        upload_lists(job, scratch)
    done_now = RunFigures(images=to_do, seconds=seconds, workers=workers)
    run = done_now if left else run_figures(job, retry, merged[0])
    return end_job(job, str(output), run, *merged, retry.number, drawing)


def label_submitted(jobs: Jobs, name: str) -> JobReceipt:
    """Label the rest of a submitted job on this machine. Raises StoppedError if the job is cancelled."""
    job = jobs.find(name)
    if job.storage.on_disk("") is None:
        msg = f"Expected jobs in a folder on this machine, got {jobs.place}; start workers (hangtag worker) instead."
        raise JobError(msg)

    def check(_done: int, _total: int) -> None:
        if job.cancelled:
            msg = f"{name} is cancelled; finished rows are kept."
            raise StoppedError(msg)

    models = (jobs.bundles.fetch(one.model.digest) for one in job.questions)
    return _label_rest(job, Path(job.storage.place, RESULT_FILE), models, check)


def label_rest(output: Path) -> JobReceipt:
    """Label a result's remaining rows with its job's models, and rewrite the result."""
    folder = job_folder(output)
    job = open_job(FolderStorage(folder))
    if job is None:
        msg = f"Expected the job of {output} in {folder}, found none; it may have been deleted."
        raise JobError(msg)
    return _label_rest(job, output, [Path(question.model.path) for question in job.questions])


def _label_rest(job: Job, output: Path, models: Iterable[Path], on_progress: Progress = lambda *_: None) -> JobReceipt:
    workers = usable_cores()
    with only_run(Path(job.storage.place)), ProcessPool(LABELLING, workers) as processes:
        receipt = job_receipt(job) if output.exists() else None
        return receipt or run_job(job, output, list(models), processes, workers, on_progress)


def _main(place: str, name: str | None = None) -> int:
    try:
        if name is None:
            label_rest(Path(place))
        else:
            label_submitted(Jobs(open_storage(place)), name)
    except (OSError, HangtagError) as error:
        print(system_words(error) if isinstance(error, OSError) else error, file=sys.stderr)
        return int(error.exit_code) if isinstance(error, HangtagError) else ExitCode.FAILURE
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
