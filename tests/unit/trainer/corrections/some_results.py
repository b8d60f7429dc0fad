"""Made-up results of jobs, and reviewers' votes on them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from models.storage.storage import FolderStorage
from tests.review_jobs import Row, labelled_job, sha256_of
from trainer.corrections.apply import Labels
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Remark, Vote
from worker.job.job import open_job
from worker.job.parts import Status
from worker.request import JobOptions
from worker.results.finish import finish_job
from worker.results.merge import merge_job

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROWS = [
    Row(0, "boots", 0.5),
    Row(1, "boots", 0.99, Status.LABELED),
    Row(2, "hats", 0.4),
    Row(3, "hats", 0.45),
    Row(4, "shoes", 0.3),
    Row(5, "shoes", 0.35),
    Row(0, "boots", 0.5),
    Row(6, "hats", 0.98, Status.LABELED),
]


def say(
    store: CorrectionStore, photo: int, label: str, reviewer: str = "anna", minute: int = 0, image: str = ""
) -> None:
    sha256 = "" if image else sha256_of(photo)
    store.append([Vote(NOW + timedelta(minutes=minute), reviewer, sha256, image, label)])


def remark(store: CorrectionStore, photo: int, kind: str, reviewer: str = "anna", minute: int = 0) -> None:
    at = NOW + timedelta(minutes=minute)
    store.append([Vote(at, reviewer, sha256_of(photo), "", remark=Remark(kind))])


def finished(folder: Path, rows: Sequence[Row] = ROWS, options: JobOptions | None = None) -> Labels:
    """A finished job in the queue's form, and its result as a separate file."""
    place = labelled_job(folder / "shop", rows, options, chunk_rows=3)
    job = open_job(FolderStorage(place.with_name(f"{place.name}.job")))
    assert job is not None
    finish_job(job)
    merge_job(job, place, folder)
    return Labels(job, place)
