"""``train_batch.jpg``: what a network sees while it learns."""

from trainer.learning.lesson import Lesson
from trainer.report.train_batch import batch_captions, train_batch_jpeg

__all__ = ["first_batch"]


def first_batch(lesson: Lesson) -> bytes:
    """A JPEG of the first batch, augmented, with the classes that the network is told."""
    batches = lesson.batches()
    pixels, targets = next(iter(batches.epoch(0, batches.size)))
    return train_batch_jpeg(pixels.numpy(), batch_captions(targets.numpy(), lesson.args.classes))
