"""Jobs for tests of photos, and a way to take their photos."""

import time
from contextlib import closing
from pathlib import Path

from catalogue.photo import Photo, PhotoRequest
from catalogue.photos import Photos
from models.errors import ImageError
from models.storage.storage import FolderStorage
from worker.job.job import Job, JobSpec, ModelPin, Question, photos_of
from worker.job.model import load_verified, pin_of
from worker.request import USUAL_OPTIONS, JobOptions, Priority

PAPER_PIN = ModelPin(
    path="/models/shop", reference="shop/1/float32@aaaaaaaaaaaa", variant="float32", digest="a" * 64, precision=0.95
)
_LONG_S = 20.0


def verified_pin(model: Path, options: JobOptions = USUAL_OPTIONS) -> ModelPin:
    return pin_of(model, load_verified(model, options))


def only_question(pin: ModelPin = PAPER_PIN) -> tuple[Question, ...]:
    return (Question(name="", model=pin),)


def photo_job(root, *, confined=False, per_host=None, allow_hosts=None, headers=None) -> Job:
    spec = JobSpec(
        id="job",
        created_at="2026-01-01T00:00:00+00:00",
        source="products.csv",
        image_column="image",
        image_root=str(root),
        rows=1,
        chunk_rows=1,
        chunks=1,
        rows_digest="0",
        left_out={},
        priority=Priority.NORMAL,
        preprocess_version="1",
        questions=only_question(),
        options=JobOptions(allow_hosts=allow_hosts, per_host=per_host, headers=headers),
        confined=confined,
        needs_root=True,
    )
    return Job(spec, FolderStorage(root))


def photo_requests(*cells: str | None, chunk: int = 0, first: int = 0) -> list[PhotoRequest]:
    return [PhotoRequest(chunk, first + row, cell) for row, cell in enumerate(cells)]


def take_all(source: Photos, count: int) -> list[Photo]:
    photos = []
    deadline = time.monotonic() + _LONG_S
    while len(photos) < count:
        photo = source.take(1.0)
        if photo:
            photos.append(photo)
        assert time.monotonic() < deadline, f"{len(photos)} of {count} photos came."
    return sorted(photos, key=lambda photo: (photo.request.chunk, photo.request.row))


def outcome_of(root, cell: str | None, *, confined: bool = True, lookup=None) -> bytes | ImageError | None:
    with closing(photos_of(photo_job(root, confined=confined), lookup=lookup)) as source:
        source.request(photo_requests(cell), {})
        return take_all(source, 1)[0].outcome
