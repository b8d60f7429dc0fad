"""Write a catalogue into the folder of jobs, for workers to label."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa

from catalogue.catalogue import Catalogue
from catalogue.photo import FAULTS, Cells, Limits
from catalogue.urls import Target, cell_texts, check_allow_hosts, is_url, stem_of
from models.bundle import read_manifest
from models.errors import ImageError, ImageFault, InputError, JobError
from models.manifest import AUTO
from models.photo import evenly
from models.reference import resolve_model
from models.storage.storage import Storage
from models.text import number_of
from worker.job.columns import requested_catalogue
from worker.job.job import Job, question_storage
from worker.job.jobs import Jobs, check_name
from worker.job.model import JobModel, fallback_pin, moved_words, note_models, questions_of, verified_pin
from worker.job.writer import create_job, differences
from worker.labelling.earlier_results import terms_of
from worker.labelling.previous import carry_over, check_done
from worker.queue.settings import TIME_LIMIT_S
from worker.request import JobOptions, SubmitRequest

CHUNK_ROWS: Final = 256
_SHARE: Final = 0.9
_TRIES: Final = 2
_START_S: Final = 1.0
"""What a decoding that hangs costs at most: the tries in throw-away processes, and the seconds to start them."""
_LOOKED_AT: Final = 12
"""Photos that are looked for among the first rows that are read at once, and as many spread over all of these rows."""
_HELD_BYTES: Final = 256 * 1024 * 1024
"""Bytes of rows that are held while no photo is found; a catalogue whose first photo is there holds next to none."""


class NoPhotosError(InputError):
    """Not one of the photos that were looked for is there: a wrong column or image root, or they are yet to come."""


@dataclass(frozen=True)
class Submitted:
    """A job in the folder of jobs; ``new`` if this call wrote it, since it may have been submitted before.

    It also says what may be taken over from an earlier job, which models and variants were found, which column names
    the photos, and why the photos could not be looked at from here.
    """

    name: str
    job: Job
    new: bool
    carried: str = ""
    models: tuple[JobModel, ...] = ()
    column_words: str = ""
    variant_words: str = ""
    unseen_words: str = ""

    @property
    def record(self) -> dict[str, object]:
        """For machines."""
        spec, said = self.job.spec, {one.name: one.found.said for one in self.models}
        models = {"model": said[""]} if "" in said else {"models": said} if said else {}
        sizes = {"rows": spec.rows, "chunks": spec.chunks}
        return {"job": self.name, "new": self.new, "folder": self.job.storage.place, **sizes, **models}

    @property
    def size(self) -> str:
        """For people."""
        return f"{number_of(self.job.spec.rows, 'row')} in {number_of(self.job.spec.chunks, 'chunk')}"


def submit(
    request: SubmitRequest,
    jobs: Jobs,
    on_rows: Callable[[int], None] = lambda _: None,
    catalogue: Catalogue | None = None,
) -> Submitted:
    """Write a job: its model, its rows in chunks, and then ``job.json``; from then on workers can see it.

    Args:
        request: what to label, with what.
        jobs: where the job goes.
        on_rows: called with the number of rows read so far, before those that have just been read are written.
        catalogue: the rows, unless they are to be read from the source; their photos are known to be there.

    Raises:
        InputError: the source or an option cannot be used.
        NoPhotosError: of a new job's photos on disk not one is there.
        BundleError: the model is damaged or disagrees with itself on this machine.
        JobError: another job has that name, or the job to carry over from is not done.
        RegistryError: the registry has no such model, version or alias.
    """
    name = request.name
    check_name(name)
    check_allow_hosts(request.options.allow_hosts or ())
    if request.previous == name:
        msg = f"The job {name} cannot be carried over from itself; name another --job than --previous."
        raise InputError(msg)
    previous = previous_job(request.previous, jobs)
    words, earlier = list[str](), jobs.get(name)
    models = tuple(_verified(request, asked, model, earlier, words.append) for asked, model in request.models.items())
    trees = [one.name for one in models if one.pin.taxonomy]
    given, unseen_words = catalogue, ""
    catalogue = requested_catalogue(request, ".parquet", trees, given, confined=True)
    if earlier is None and given is None:
        catalogue, unseen_words = _with_photos(catalogue)
    catalogue = replace(catalogue, batches=_counted(catalogue.batches, on_rows))
    for one in models:
        jobs.bundles.put(one.found.path, one.pin.digest)
    if earlier is not None:
        _check_same(request, earlier, catalogue, models)
        return Submitted(name, earlier, new=False, models=models, column_words=catalogue.column_words)
    storage = jobs.storage(name)
    carried = " ".join(_carried(previous, storage, one, request.options) for one in models) if previous else ""
    job = _written(request, storage, catalogue, models)
    return Submitted(
        name,
        job,
        new=True,
        carried=carried,
        models=models,
        column_words=catalogue.column_words,
        variant_words=" ".join(words),
        unseen_words=unseen_words,
    )


def _with_photos(catalogue: Catalogue) -> tuple[Catalogue, str]:
    """Look for photos where workers will: if not one is there, every row would fail.

    Some of each batch are looked for first, which is enough for nearly every catalogue; then all. Photos at URLs, in S3
    and in cells are not asked for; a catalogue that names one is taken.

    Returns:
        The catalogue with all of its rows; and a sentence if its image root is an empty folder, which is what a machine
        has where a share is not mounted.

    Raises:
        NoPhotosError: the sentence says where they were looked for.
    """
    if is_url(catalogue.image_root):
        return catalogue, ""
    root, column = Path(catalogue.image_root), catalogue.image_column
    if _is_empty(root):
        return catalogue, f"The photos could not be looked at from here: {root} is empty. Workers must have them there."
    look, held, size = _Look(Cells(catalogue.image_root, confined=True)), list[pa.RecordBatch](), 0
    for batch in catalogue.batches:
        held.append(batch)
        size += batch.nbytes
        if look.finds(_some(batch.column(column))):
            return replace(catalogue, batches=chain(held, catalogue.batches)), ""
        if size > _HELD_BYTES:
            break
    if any(look.finds(cell_texts(one.column(column), "surrogateescape")) for one in held):
        return replace(catalogue, batches=chain(held, catalogue.batches)), ""
    such = f"such as {look.lost[:200]!r}" if look.lost else "the cells are empty"
    msg = (
        f"None of these photos can be read: missing ({FAULTS[ImageFault.MISSING]}), {such} in the column {column!r} of "
        f"{catalogue.source}. Relative paths start at {root}; pass another --image-root if they lie elsewhere, or "
        "another --image-column. If only the workers have their folder, make an empty one at its path here."
    )
    raise NoPhotosError(msg)


class _Look:
    """Looks for photos; ``lost``: the first one that is not there."""

    def __init__(self, places: Cells) -> None:
        self._places = places
        self.lost = ""

    def finds(self, cells: Iterable[str | None]) -> bool:
        """Whether one is there, or is not looked for."""
        for cell in cells:
            if not self._is_missing(cell):
                return True
            self.lost = self.lost or cell or ""
        return False

    def _is_missing(self, cell: str | None) -> bool:
        try:
            place = self._places.place(cell)
            if not isinstance(place, Target):
                place()
        except ImageError as error:
            return error.fault is ImageFault.MISSING
        return False


def _some(column: pa.Array) -> list[str | None]:
    """The first cells, and some that are spread evenly over all."""
    rows = sorted({*range(min(_LOOKED_AT, len(column))), *evenly(len(column), _LOOKED_AT)})
    return cell_texts(column.take(pa.array(rows)), "surrogateescape")


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError:  # a folder that we may not look into
        return False


def _check_same(request: SubmitRequest, earlier: Job, catalogue: Catalogue, models: Sequence[JobModel]) -> None:
    if other := differences(earlier.spec, catalogue, questions_of(models), request.options):
        moved = moved_words(earlier, models)
        msg = f"There is a job {request.name} already, and it is not this one: {other}.{moved} Pass another --job."
        raise JobError(msg)


def _written(request: SubmitRequest, storage: Storage, catalogue: Catalogue, models: Sequence[JobModel]) -> Job:
    options = request.options
    decodings = decodings_of([one.found.path for one in models])
    rows = chunk_rows(options.timeout_s, options.per_host, decodings)
    note_models(storage, models)
    return create_job(storage, catalogue, questions_of(models), options, rows, request.priority, confined=True)


def _verified(
    request: SubmitRequest, name: str, model: Path | str, earlier: Job | None, say: Callable[[str], None]
) -> JobModel:
    """Look a model up and verify it; a job that is there goes on with the variants that it was submitted with."""
    found = resolve_model(model, request.options.registry)
    pin = verified_pin(found.path, request.options, say)
    fallback = fallback_pin(found.path, pin, request.options)
    was = earlier.question(name) if earlier else None
    if was and request.options.variant == AUTO and was.spec.model.digest == pin.digest:
        pin, fallback = was.spec.model, was.spec.fallback
    return JobModel(name, found, pin, fallback)


def _carried(previous: Job, storage: Storage, model: JobModel, options: JobOptions) -> str:
    """Carry over what an earlier job knows of one question; a sentence about it."""
    terms = terms_of(model.pin, options)
    said = carry_over(previous, question_storage(storage, model.name), terms, model.name)
    return f"{model.name}: {said}" if model.name else said


def previous_job(name: str | None, jobs: Jobs) -> Job | None:
    """The job to carry over from, if one is named.

    Raises:
        InputError: there is none.
        JobError: it is not done.
    """
    if name is None:
        return None
    job = jobs.find(name)
    check_done(job, name)
    return job


def decodings_of(models: Sequence[Path]) -> int:
    """How often a photo may be decoded, and time out: once for all models with the same preprocessing.

    Of a lone file nothing is known here, so each counts.
    """
    return len({read_manifest(model).manifest.preprocess if model.is_dir() else model for model in models})


def chunk_rows(timeout_s: float, per_host: int | None = None, decodings: int = 1) -> int:
    """How many rows a chunk has: so few that it ends within a task's time limit even if every photo times out.

    Args:
        timeout_s: that decoding a photo may take; photos are decoded one at a time.
        per_host: downloads from one host at once.
        decodings: of one photo, each of which may take its time.
    """
    limits = Limits()
    decode_s = decodings * (_TRIES * timeout_s + _START_S)
    download_s = limits.total_s / (per_host or limits.per_host)  # photos are decoded while others of their host come
    return max(1, min(CHUNK_ROWS, int(TIME_LIMIT_S * _SHARE / max(decode_s, download_s))))


def new_name(source: Path | str) -> str:
    """A name for a job: its source's name and the time."""
    called = stem_of(str(source)) if is_url(str(source)) else Path(source).resolve().stem
    return f"{name_part(called)}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def name_part(called: str) -> str:
    """The beginning of a job's name: its source's name, at most 40 characters, only those that a name may have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", called).strip("-_")[:40] or "job"


def _counted(batches: Iterator[pa.RecordBatch], on_rows: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        on_rows(rows)
        yield batch
