"""Parts that nobody has labelled, where only what comes after is measured."""

import random
from pathlib import Path

from models.decision import ReviewReason
from models.storage.storage import FolderStorage
from worker.jobs import Jobs
from worker.results import RowResult, Status, part_bytes, part_key

__all__ = ["make_up_parts"]

REVIEWED = 0.1


def make_up_parts(jobs: Path, name: str) -> None:
    """Give every chunk of a job a part; a tenth of the rows, the least sure ones, are for review."""
    job = Jobs(FolderStorage(jobs)).find(name)
    model = job.spec.model.reference
    chance = random.Random(0)
    for chunk in range(job.spec.chunks):
        rows = [_row(chance, model) for _ in range(job.rows_in_chunk(chunk))]
        path = jobs / name / part_key(chunk)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(part_bytes(rows, job.spec.id, "somewhere:1", 0.3, 0))


def _row(chance: random.Random, model: str) -> RowResult:
    label, confidence = chance.choice(["shoes", "hat", "dress"]), chance.random()
    status, reason = Status.LABELED, None
    if confidence < REVIEWED:
        status, reason = Status.REVIEW, ReviewReason.THRESHOLD
    best = ((label, confidence), ("skirt", 0.125), ("shirt", 0.0625))
    return RowResult(label, confidence, status, None, None, best, f"{chance.getrandbits(256):064x}", model, reason)
