"""Lists of photos, the jobs that label them, and what must come out of those."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import redis

from catalogue.catalogue import Catalogue
from models.classifier import load
from models.process import Owner
from models.storage.storage import Storage, open_storage
from tests.label_chunk import run_chunk
from tests.photo_jobs import only_question, verified_pin
from tests.until import until
from worker.job.job import Job, open_job
from worker.job.receipt import JobReceipt, Receipt, finished_receipt, job_receipt
from worker.job.writer import create_job
from worker.request import USUAL_OPTIONS, JobOptions

Row = dict[str, Any]
_FLOATS = ("confidence", "confidence_2", "unknown")
_FLOAT_TOLERANCE = 1e-5
_EARLY_ROW = 128
_MOST_BEGUN = 3


def photo_names(catalogue: Path, rows: int) -> list[str]:
    names = sorted(str(photo.relative_to(catalogue)) for photo in catalogue.rglob("*.*"))
    return list(islice(cycle(names), rows))


def write_list(file: Path, names: list[str]) -> Path:
    file.write_text("".join(f"{name}\n" for name in names))
    return file


def assert_same(found: list[Row], expected: list[Row]) -> None:
    """Every cell is the same; probabilities may differ in their last digits, since batches are cut otherwise."""
    assert [_exact(row) for row in found] == [_exact(row) for row in expected]
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(_floats(one), _floats(other), strict=True):
            assert abs(a - b) < _FLOAT_TOLERANCE, (one, other)


def _exact(row: Row) -> Row:
    labels = row["top_k"] and [entry["label"] for entry in row["top_k"]]
    return {**row, **{name: row[name] is None for name in _FLOATS}, "top_k": labels}


def _floats(row: Row) -> list[float]:
    best = [entry["confidence"] for entry in row["top_k"] or ()]
    return [row[name] for name in _FLOATS if row[name] is not None] + best


def relabelled(row: Row, labels: dict[str, str], model: str) -> Row:
    """What a model says of a photo that gives each of the labels another name."""
    if row["label"] is None:
        return {**row, "model": model}
    top_k = [{**best, "label": labels[best["label"]]} for best in row["top_k"]]
    renamed = {name: labels.get(row[name]) for name in ("label", "accepted_label", "label_2")}
    return {**row, **renamed, "top_k": top_k, "model": model}


def label_here(storage: Storage, catalogue: Catalogue, model: Path, options: JobOptions = USUAL_OPTIONS) -> Job:
    """Create a job, open it again, and label it in this process, 32 rows at a time; it is not finished."""
    create_job(storage, catalogue, only_question(verified_pin(model)), options, chunk_rows=32)
    job, classifier = open_job(open_storage(storage.place)), load(model)
    assert job
    for chunk in job.missing_chunks():
        assert run_chunk(job, chunk, classifier)
        assert not run_chunk(job, chunk, classifier)
    return job


@dataclass(frozen=True)
class InHand:
    chunk: int
    pid: int


@dataclass(frozen=True)
class QueuedJob:
    name: str
    job: Job
    folder: Path
    client: redis.Redis

    @property
    def chunks(self) -> int:
        return self.job.spec.chunks

    def parts(self) -> dict[str, int]:
        """Name → when it was written, in nanoseconds, of each part."""
        return {part.name: part.stat().st_mtime_ns for part in (self.folder / "parts").glob("[!.]*.arrow")}

    def wait_for_parts(self, count: int, within_s: float = 30.0) -> None:
        """Wait until so many chunks are done, and see that the job has not ended meanwhile."""
        until(lambda: len(self.parts()) >= count, f"{self.name} has {count} parts", within_s)
        assert len(self.parts()) < self.chunks, "the job was over before anything could happen to it"

    def wait_for_end(self, within_s: float = 45.0) -> Receipt:
        return until(lambda: finished_receipt(self.job), f"{self.name} has a receipt", within_s)

    def wait_for_all_answers(self, within_s: float = 45.0) -> JobReceipt:
        return until(lambda: job_receipt(self.job), f"{self.name} has a receipt", within_s)

    def rows(self) -> list[Row]:
        rows: list[Row] = pq.read_table(self.folder / "labels.parquet").to_pylist()
        return rows

    def assert_right_once(self, expected: list[Row]) -> None:
        """The result is what is expected; no chunk is without a part, and none has two."""
        assert_same(self.rows(), expected)
        assert sorted(self.parts()) == [f"{chunk:06d}.r0.arrow" for chunk in range(self.chunks)]

    def in_hand(self) -> list[InHand]:
        keys = [key for key in self.client.scan_iter(f"hangtag:lease:{self.name}:*") if not key.endswith(":-1")]
        texts = self.client.mget(keys) if keys else []
        leases = zip(keys, texts, strict=True)
        return [InHand(int(key.rpartition(":")[2]), Owner.from_json(text).pid) for key, text in leases if text]

    def few_left(self) -> bool:
        """Whether no more chunks are left than one process begins: a photo that hangs holds up the others."""
        return 0 < len(self.job.missing_chunks()) <= _MOST_BEGUN

    def freeze_one(self) -> InHand:
        """Stop a process (SIGSTOP) that has a good part of a chunk still before it, and name both."""
        return until(self._frozen, f"a process is early in a chunk of {self.name}")

    def _frozen(self) -> InHand | None:
        for held in self.in_hand():
            os.kill(held.pid, signal.SIGSTOP)
            if self._is_early(held):
                return held
            os.kill(held.pid, signal.SIGCONT)
        return None

    def _is_early(self, held: InHand) -> bool:
        """Whether the marker of the only try at the chunk names one of its first rows."""
        texts = []
        for marker in (self.folder / "in_progress").glob(f"{held.chunk:06d}.*"):
            with suppress(FileNotFoundError):  # its chunk was done just before the process was stopped
                texts.append(marker.read_text().strip())
        alone = [one for one in self.in_hand() if one.pid == held.pid] == [held]
        return alone and len(texts) == 1 and texts[0] != "" and int(texts[0]) < _EARLY_ROW
