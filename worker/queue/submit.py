"""Writes a new job into the folder of jobs."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa

from catalogue.catalogue import Catalogue
from catalogue.photo import FAULTS, DownloadLimits, PhotoLocator
from catalogue.urls import SHOWN, Target, check_allow_hosts, checked_headers, is_url, stem_of
from models.errors import ImageError, ImageFault, InputError, JobError
from models.preprocess import PreprocessSpec
from models.reference import resolve_model
from worker.job.job import Job, Question, question_storage
from worker.job.jobs import Jobs, check_name
from worker.job.model import JobModel, moved_words, note_models, verified_model
from worker.job.writer import create_job, differences, requested_catalogue
from worker.labelling.earlier_results import carry_over, check_done, terms_of
from worker.queue.settings import TIME_LIMIT_S
from worker.request import SubmitRequest

CHUNK_ROWS: Final = 256
_SHARE: Final = 0.9
_TRIES: Final = 2
"""Attempts to decode a photo that hangs."""
_START_S: Final = 1.0
"""Estimated seconds to start a decoding process."""
_LONGEST_STEM: Final = 32
"""Maximum characters of the source's name in a default job name, so that a table of jobs fits 80 columns."""
NOT_CHECKED: Final = "The photos were not checked"
_HELD_BYTES: Final = 256 * 1024 * 1024
"""Maximum bytes of rows to search for the first photo."""


@dataclass(frozen=True)
class Submitted:
    """A submitted job. ``new``: whether this call wrote the job. ``words``: sentences to print."""

    name: str
    job: Job
    new: bool
    models: tuple[JobModel, ...]
    words: tuple[str, ...]

    @property
    def record(self) -> dict[str, object]:
        """The record for ``--json``."""
        spec, names = self.job.spec, {one.question.name: one.source.name for one in self.models}
        models = {"model": names[""]} if "" in names else {"models": names}
        sizes = {"rows": spec.rows, "chunks": spec.chunks}
        return {"job": self.name, "new": self.new, "folder": self.job.storage.place, **sizes, **models}


def submit(
    request: SubmitRequest,
    jobs: Jobs,
    on_rows: Callable[[int], None] = lambda _: None,
    catalogue: Catalogue | None = None,
) -> Submitted:
    """Write a job's models and rows, then ``job.json``. ``catalogue``: read instead of the request's source."""
    name, options = request.name, request.options
    check_name(name)
    check_allow_hosts(options.allow_hosts or ())
    checked_headers(options.headers or ())
    previous, earlier = _previous_job(request, jobs), jobs.get(name)
    models, decodings = list[JobModel](), set[PreprocessSpec]()
    for question, model in request.models.items():
        one, classifier = verified_model(question, resolve_model(model, options.registry), options)
        models.append(one)
        decodings.add(classifier.metadata.preprocess)
    questions = [one.question for one in models]
    trees = [question.name for question in questions if question.model.taxonomy]
    rows, options = requested_catalogue(request, ".parquet", trees, catalogue, confined=True)
    if earlier is None:
        rows = _with_photos(rows)
    rows = replace(rows, batches=_counted(rows.batches, on_rows))
    for one in models:
        jobs.bundles.put(one.source.path, one.question.model.digest)
    if earlier is None:
        words = [rows.column_words, *(_carry_over(previous, request, jobs, questions) if previous else ())]
        size = chunk_rows(options.timeout_s, options.per_host, len(decodings))
        storage = jobs.storage(name)
        note_models(storage, models)
        job = create_job(storage, rows, questions, options, size, request.priority, confined=True)
    else:
        if other := differences(earlier.spec, rows, questions, options):
            moved = moved_words(earlier, models)
            msg = f"Job {name} exists already and differs: {other}.{moved} Pass another --job."
            raise JobError(msg)
        job, words = earlier, [rows.column_words]
        if (options.headers or []) != (earlier.spec.options.headers or []):
            words += ["The job keeps its original --header; pass another --job to send the new header."]
    sentences = tuple(filter(None, (*(one.source.words for one in models), *words, *rows.remarks)))
    return Submitted(name, job, earlier is None, tuple(models), sentences)


def _previous_job(request: SubmitRequest, jobs: Jobs) -> Job | None:
    if request.previous is None:
        return None
    if request.previous == request.name:
        msg = f"{request.name} is both --job and --previous; name another --job."
        raise InputError(msg)
    previous = jobs.find(request.previous)
    check_done(previous, request.previous)
    return previous


def _with_photos(catalogue: Catalogue) -> Catalogue:
    """Add a remark to a catalogue whose image root is an empty folder. Raises InputError if no photo is found."""
    if is_url(catalogue.image_root):
        return catalogue
    root, column = Path(catalogue.image_root), catalogue.image_column
    if _is_empty(root):
        words = f"{NOT_CHECKED}: {root} is empty on this machine. Workers must have the photos in this folder."
        catalogue.remarks.append(words)
        return catalogue
    places, held = PhotoLocator(catalogue.image_root, confined=True), list[pa.RecordBatch]()
    for batch in catalogue.batches:
        held.append(batch)
        if not all(_is_missing(places, cell) for cell in _cells(catalogue, batch)):
            return replace(catalogue, batches=chain(held, catalogue.batches))
        if sum(one.nbytes for one in held) > _HELD_BYTES:
            break
    missing = next((cell for batch in held for cell in _cells(catalogue, batch) if cell and cell.strip()), "")
    example = f"such as {missing[:SHOWN]!r}" if missing else "the cells are empty"
    hint = f" ({words})" if (words := places.hint(missing)) else ""
    msg = (
        f"No photo can be read: missing ({FAULTS[ImageFault.MISSING]}), {example} in the column {column!r} "
        f"of {catalogue.source}{hint}. Relative paths start at {root}. If the photos are elsewhere, pass another "
        "--image-root or --image-column. If only the workers have the photos' folder, make an empty folder at the "
        "same path on this machine."
    )
    raise InputError(msg)


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError:  # no permission to list the folder
        return False


def _cells(catalogue: Catalogue, batch: pa.RecordBatch) -> Iterator[str | None]:
    for start in range(0, batch.num_rows, CHUNK_ROWS):  # few at a time: cells may contain whole photos
        yield from catalogue.photo_cells(batch.slice(start, CHUNK_ROWS), "surrogateescape")


def _is_missing(places: PhotoLocator, cell: str | None) -> bool:
    try:
        place = places.place(cell)
        if not isinstance(place, Target):
            place()
    except ImageError as error:
        return error.fault in {ImageFault.MISSING, ImageFault.EMPTY_CELL}
    return False


def _counted(batches: Iterator[pa.RecordBatch], on_rows: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        on_rows(rows)
        yield batch


def _carry_over(previous: Job, request: SubmitRequest, jobs: Jobs, questions: Iterable[Question]) -> Iterator[str]:
    for question in questions:
        storage = question_storage(jobs.storage(request.name), question.name)
        words = carry_over(previous, storage, terms_of(question.model, request.options), question.name)
        yield f"{question.name}: {words}" if question.name else words


def chunk_rows(timeout_s: float, per_host: int | None = None, decodings: int = 1) -> int:
    """Maximum rows of a chunk. Its task meets the time limit even if every photo times out.

    ``decodings``: how often each photo is decoded (models with the same preprocessing share it).
    """
    limits = DownloadLimits()
    decode_s = decodings * (_TRIES * timeout_s + _START_S)
    download_s = limits.total_s / (per_host or limits.per_host)  # decoding overlaps with downloads
    return max(1, min(CHUNK_ROWS, int(TIME_LIMIT_S * _SHARE / max(decode_s, download_s))))


def new_name(source: Path | str) -> str:
    """A default job name: the source's name in valid characters, and the time."""
    stem = stem_of(str(source)) if is_url(str(source)) else Path(source).resolve().stem
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:_LONGEST_STEM] or "job"
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
