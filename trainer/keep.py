"""What the export needs of a training, kept in its run, so that the photos may be gone by then."""

import hashlib
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from exporter.evenly import evenly
from exporter.training_run import ORIGINALS
from models.errors import ImageError
from models.photo import read_photo
from trainer.learning.lesson import Lesson, labels_of
from trainer.run import Run
from trainer.splits.assigned import AssignedPhoto

__all__ = ["keep_for_export"]

TRAIN_SAMPLE: Final = 512
VAL_SAMPLE: Final = 5_000


def keep_for_export(lesson: Lesson) -> None:
    """Keep pixels of validation and of some training photos, and some validation photos as they were."""
    held = [lesson.held[i] for i in evenly(len(lesson.held), VAL_SAMPLE)]
    chosen = np.random.default_rng(lesson.args.seed).permutation(len(lesson.photos))[:TRAIN_SAMPLE]
    _keep_pixels("val", held, lesson)
    _keep_pixels("train_sample", [lesson.photos[i] for i in chosen], lesson)
    _keep_originals(lesson.run, held)


def _keep_pixels(name: Literal["val", "train_sample"], photos: Sequence[AssignedPhoto], lesson: Lesson) -> None:
    pixels = lesson.store.take([photo.sha256 for photo in photos])
    lesson.run.write_pixels(name, pixels, labels_of(photos, lesson.args.classes))


def _keep_originals(run: Run, photos: Sequence[AssignedPhoto]) -> None:
    run.originals.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(photos[i] for i in evenly(len(photos), ORIGINALS)):
        data = _bytes_of(photo)
        if data is not None:
            (run.originals / f"{number:03d}{photo.path.suffix.lower()}").write_bytes(data)


def _bytes_of(photo: AssignedPhoto) -> bytes | None:
    """None of a photo that is gone, or was replaced since: its label is not of what is there now."""
    try:
        data = read_photo(photo.path)
    except ImageError:
        return None
    return data if hashlib.sha256(data).hexdigest() == photo.sha256 else None
