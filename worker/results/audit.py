"""An audit: people check a random sample of a job's labeled rows, to measure the precision.

The sample has the rows with the smallest hashes of row number and job id. A larger sample contains every smaller
sample. Source: "bottom-k" samples, Cohen and Kaplan, "Summarizing data using bottom-k sketches" (PODC 2007).
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from markupsafe import escape

from worker.job.job import Job
from worker.job.parts import Status
from worker.job.receipt import AUDIT_FILE, PAGE_FILE, Audit, AuditFile, read_audit
from worker.results.end_review import read_end_reviews

_Numbers = npt.NDArray[np.uint64]
_ON_PAGE: Final = re.compile(r"(<!--audit-->).*?(<!--/audit-->)", re.DOTALL)


@dataclass(frozen=True)
class AuditRow:
    """A labeled row to check. ``row``: its number, from 1. ``image``: path, URL or data URI of the photo."""

    row: int
    image: str | None
    sha256: str
    label: str
    confidence: float
    model: str


def audit_sample(job: Job, rows: int) -> list[AuditRow]:
    """Sample at most ``rows`` labeled rows of a finished job, in random order."""
    noted = read_audit(job)
    numbers = list(noted.sample[:rows]) if noted and len(noted.sample) >= rows else _drawn(job, rows)
    by_chunk: dict[int, list[int]] = {}
    for number in numbers:
        by_chunk.setdefault((number - 1) // job.spec.chunk_rows, []).append(number)
    keys, drawn = job.part_keys(), dict[int, AuditRow]()
    for chunk, numbers_in_chunk in by_chunk.items():
        columns = ["label", "confidence", "sha256", "model"]
        part = job.part(chunk, keys[chunk], columns)
        images = job.chunk_images(chunk)
        for number in numbers_in_chunk:
            place = (number - 1) % job.spec.chunk_rows
            drawn[number] = AuditRow(number, images[place], **part.slice(place, 1).to_pylist()[0])
    return [drawn[number] for number in numbers]


def _drawn(job: Job, rows: int) -> list[int]:
    seed = np.uint64(int.from_bytes(hashlib.sha256(job.spec.id.encode()).digest()[:8]))
    ended = read_end_reviews(job)
    kept = np.empty(0, np.uint64)
    for chunk, key in sorted(job.part_keys().items()):
        part = job.part(chunk, key, ["status"])
        first = chunk * job.spec.chunk_rows
        doubtful = ended.reasons_of(first, part.num_rows).is_valid()
        labeled = pc.and_not(pc.equal(part.column("status"), Status.LABELED), doubtful)
        numbers = pc.indices_nonzero(labeled).to_numpy().astype(np.uint64) + np.uint64(first + 1)
        kept = np.concatenate([kept, numbers])
        kept = kept[np.argsort(_hashed(kept, seed), kind="stable")[:rows]]
    return [int(number) for number in kept]


def _hashed(numbers: _Numbers, seed: np.uint64) -> _Numbers:
    """SplitMix64 hashes. Source: Steele, Lea and Flood (OOPSLA 2014)."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + seed
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def write_audit(job: Job, sample: Sequence[AuditRow], figures: Audit) -> None:
    """Write an audit's results to ``audit.json`` in the job's folder, and to the receipt's page."""
    numbers = tuple(row.row for row in sample)
    noted = AuditFile(job=job.spec.id, retry=job.retry().number, sample=numbers, figures=figures)
    job.storage.replace(AUDIT_FILE, noted.model_dump_json(indent=1).encode())
    if job.storage.exists(PAGE_FILE):
        page = job.storage.read(PAGE_FILE).decode()
        text = f"\\g<1>Audit: {escape(figures.words)}.\\g<2>"
        job.storage.replace(PAGE_FILE, _ON_PAGE.sub(text, page, count=1).encode())
