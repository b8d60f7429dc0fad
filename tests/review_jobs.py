"""Labelled jobs for tests of review: drawn photos with made-up results."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from catalogue.catalogue import open_catalogue
from models.decision import ReviewReason
from models.errors import ImageError, ImageFault
from models.storage.storage import FolderStorage
from tests.row_results import RowResult, failed_row, part_bytes
from worker.job.job import QUESTIONS, Job, ModelPin, Question
from worker.job.parts import Status, part_key
from worker.job.writer import create_job
from worker.request import JobOptions

MODEL = "shop/1/float32@aaaaaaaaaaaa"
PIN = ModelPin(path="/nowhere/shop", reference=MODEL, variant="float32", digest="a" * 64, precision=0.95)
CLASSES = ("boots", "hats", "shoes")


@dataclass(frozen=True)
class Row:
    """A row of the catalogue, and its result.

    Attributes:
        photo: rows with the same number have the same photo.
        category: the catalogue's class.
        above: the label, if it is a parent of the likeliest class.
    """

    photo: int
    label: str = "boots"
    confidence: float = 0.5
    status: Status = Status.REVIEW
    category: str = ""
    product: str = ""
    above: str = ""


def doubtful(count: int, first: int = 0) -> list[Row]:
    return [Row(first + n, CLASSES[n % 2], 0.3 + 0.6 * n / count) for n in range(count)]


def photo_bytes(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (48, 32), (number % 256, number // 256 % 256, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def sha256_of(number: int) -> str:
    return hashlib.sha256(photo_bytes(number)).hexdigest()


def labelled_job(
    folder: Path,
    rows: Sequence[Row],
    options: JobOptions | None = None,
    chunk_rows: int = 16,
    pin: ModelPin = PIN,
    **questions: Sequence[Row],
) -> Path:
    """The place of a result; its job with all parts is beside it.

    With ``questions``, named models, each has its own results for the photos of ``rows``.
    """
    (folder / "photos").mkdir(parents=True)
    for number in {row.photo for row in rows}:
        (folder / "photos" / f"{number}.png").write_bytes(photo_bytes(number))
    with (folder / "shop.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sku", "image", "category", "product"])
        for n, row in enumerate(rows):
            writer.writerow([f"S{n}", f"{row.photo}.png", row.category, row.product])
    result = folder / "labels.parquet"
    catalogue = open_catalogue(folder / "shop.csv", image_root=folder / "photos")
    storage = FolderStorage(result.with_name("labels.parquet.job"))
    for name in questions:  # a run keeps facts about its model there
        Path(storage.child(f"{QUESTIONS}/{name}").place).mkdir(parents=True)
    asked = tuple(Question(name=name, model=pin) for name in questions or [""])
    job = create_job(storage, catalogue, asked, options or JobOptions(), chunk_rows)
    commit_parts(job, questions or rows)
    return result


def commit_parts(job: Job, rows: Sequence[Row] | Mapping[str, Sequence[Row]]) -> None:
    size = job.spec.chunk_rows
    for chunk in range(job.spec.chunks):
        part = slice(chunk * size, (chunk + 1) * size)
        results: list[RowResult] | dict[str, list[RowResult]]
        if isinstance(rows, Mapping):
            results = {name: list(map(_result, own[part])) for name, own in rows.items()}
        else:
            results = list(map(_result, rows[part]))
        job.storage.commit(part_key(chunk), part_bytes(results, job.spec.id, "shop-7:42", 0.5, 0))


def _result(row: Row) -> RowResult:
    if row.status is Status.FAILED:
        return failed_row(ImageError("too large", ImageFault.TOO_LARGE), sha256_of(row.photo), MODEL)
    others = [name for name in CLASSES if name != row.label]
    rest = (1 - row.confidence) / len(others)
    best = ((row.label, row.confidence), *((name, rest) for name in others))
    reason = ReviewReason.THRESHOLD if row.status is Status.REVIEW else None
    found = RowResult(row.label, row.confidence, row.status, None, None, best, sha256_of(row.photo), MODEL, reason)
    above = {"label": row.above, "confidence": 0.96875, "label_level": 1, "leaf_guess": row.label}
    return replace(found, **above) if row.above else found
