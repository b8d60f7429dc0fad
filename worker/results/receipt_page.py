"""A job's receipt as an HTML page with thumbnails.

Separate processes make the thumbnails, since a photo may hang or crash its decoder. ``python -P -m
worker.results.receipt_page`` answers each JSON line ``[PATH, TIMEOUT_S]`` with a JSON line.
"""

import json
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, Final

from catalogue.photo import FAULTS, PhotoRequest
from catalogue.urls import scheme_of
from models.decision import UNMEASURED, precision_text
from models.errors import HangtagError, JobError
from models.registry.registry import TRAINING
from models.storage.storage import FolderStorage
from pages.render import near, prepare, render
from pages.tiles import LabelledPhoto, PagePhoto, failed_last
from worker.job.job import Job, ModelPin, photos_of, scratch_folder
from worker.job.parts import Status, photos_text
from worker.job.receipt import (
    PAGE_FILE,
    REVIEW_FILE,
    JobReceipt,
    QuestionsReceipt,
    Receipt,
    SampleRow,
    groups_file,
)
from worker.labelling.process_pool import Death, ProcessPool, take_streams
from worker.results.merge import QuestionMerge

DRAWING: Final = ("worker.results.receipt_page",)
"""The module that thumbnail processes run."""
TEMPLATE: Final = "receipt.html"
_WITHIN_S: Final = 15.0
_ALL_S: Final = 60.0
_ONE_S: Final = 10.0
"""Maximum seconds to make a thumbnail."""


def question_pages(
    job: Job, receipts: Sequence[Receipt], merges: Sequence[QuestionMerge], drawing: ProcessPool | None
) -> list[str]:
    """A receipt page for each question. The pages share their thumbnails."""
    doubtful = [row for merge in merges for rows in merge.doubtful.values() for row in rows]
    rows = [*(row for merge in merges for row in (*merge.tally.sample, *merge.tally.failed_sample)), *doubtful]
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(prepare, TEMPLATE)  # parse the template while thumbnails are made
        photos = small_photos(job, (row.image for row in rows if row.status is not Status.FAILED), drawing)
    pages = []
    for receipt, merge, question in zip(receipts, merges, job.questions, strict=True):
        sample = [_sheet_photo(row, photos) for row in (*merge.tally.sample, *merge.tally.failed_sample)]
        least_sure = {label: [_sheet_photo(row, photos) for row in some] for label, some in merge.doubtful.items()}
        pages.append(receipt_page(receipt, sample, question.name, least_sure, _links(question, receipt)))
    return pages


def _sheet_photo(row: SampleRow, photos: Mapping[str, PagePhoto]) -> LabelledPhoto:
    if row.status is Status.FAILED:
        name = "in the cell itself" if scheme_of(row.image or "") == "data" else Path(row.image or "").name
        return LabelledPhoto(None, row.status, name or "an empty cell", f"{row.status}: {row.error}")
    detail = f"{row.status} {row.confidence or 0:.1%}"
    why = row.reason.words if row.reason else ""
    return LabelledPhoto(photos.get(row.image or ""), row.status, row.label or "", detail, why)


def receipt_page(
    receipt: Receipt,
    photos: Sequence[LabelledPhoto] = (),
    question: str = "",
    doubtful: Mapping[str, Sequence[LabelledPhoto]] = MappingProxyType({}),
    links: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The receipt page of a merged job, with photos, and rows to review by label."""
    return render(
        TEMPLATE,
        receipt=receipt,
        source=PurePath(receipt.source).name,
        meanings=_meanings(receipt.model),
        faults=FAULTS,
        unmeasured=UNMEASURED,
        photo_work=photos_text(receipt.photos),
        photos=failed_last(photos),
        question=question,
        doubtful=doubtful,
        links=links,
    )


def questions_page(job: Job, receipt: QuestionsReceipt, pages: Mapping[str, str]) -> str:
    """The page of a job with named models. ``pages``: question → path of its page."""
    return render(
        "questions.html",
        receipt=receipt,
        source=PurePath(receipt.source).name,
        faults=FAULTS,
        photo_work=photos_text(receipt.photos),
        pages=pages,
        links=_links(job, receipt),
    )


def _links(job: Job, receipt: JobReceipt) -> dict[str, str]:
    if not isinstance(job.storage, FolderStorage):
        return {}
    page, links = Path(job.storage.place) / PAGE_FILE, {"Result": Path(receipt.output)}
    if isinstance(receipt, Receipt):
        model = Path(receipt.model.path)
        links |= {
            "Rows to review": page.with_name(REVIEW_FILE),
            "Products": page.with_name(groups_file(receipt.output)),
            "Model": model / "README.md",
            "Its training": model.parent / TRAINING / model.name / "report.html",
        }
    whole = {"All questions": f"../../{PAGE_FILE}"} if job.name else {}
    return whole | near(page, links)


def _meanings(model: ModelPin) -> dict[Status, str]:
    labeled = "no precision is promised"
    if model.threshold is not None:
        labeled = f"confidence at least {model.threshold}, set by --threshold; no precision is promised"
    elif model.precision is not None:
        labeled = f"confidence high enough for a precision of {precision_text(model.precision)}"
    return {Status.LABELED: labeled, Status.REVIEW: "a person should look", Status.FAILED: "no label; see the errors"}


def small_photos(
    job: Job, cells: Iterable[str | None], drawing: ProcessPool | None = None, within_s: float = _WITHIN_S
) -> Mapping[str, PagePhoto]:
    """Fetch and shrink a job's photos: cell → thumbnail. Leaves out photos that arrive too late."""
    cell_of: dict[Path, str] = {}
    with scratch_folder(job.storage) as folder:
        with suppress(OSError):  # without space for thumbnails, write the receipt without them
            for number, (cell, data) in enumerate(_photo_bytes(job, cells, within_s)):
                file = folder / str(number)
                file.write_bytes(data)
                cell_of[file] = cell
        drawn = draw_in_processes(cell_of, job.spec.options.timeout_s, drawing)
        return {cell: drawn[file] for file, cell in cell_of.items() if file in drawn}


def _photo_bytes(job: Job, cells: Iterable[str | None], within_s: float) -> Iterator[tuple[str, bytes]]:
    requests = [PhotoRequest(0, row, cell) for row, cell in enumerate(dict.fromkeys(filter(None, cells)))]
    with suppress(HangtagError), closing(photos_of(job)) as photos:  # for example, missing credentials
        photos.request(requests, {})
        until = time.monotonic() + within_s
        for _ in requests:
            left_s = until - time.monotonic()
            photo = photos.take(left_s) if left_s > 0 else None  # take(0) would still read a local photo
            if photo is None:
                break
            if photo.request.cell and isinstance(photo.outcome, bytes):
                yield photo.request.cell, photo.outcome


def draw_in_processes(files: Iterable[Path], timeout_s: float, processes: ProcessPool | None) -> dict[Path, PagePhoto]:
    """Make thumbnails in other processes: file → thumbnail.

    Leaves out photos that cannot be read, crash their process or take too long. After a minute, leaves out the
    remaining photos.
    """
    drawn: dict[Path, PagePhoto] = {}
    until = time.monotonic() + _ALL_S

    def go_on(_: Death | None = None) -> bool:
        if time.monotonic() > until:
            msg = "There is no time left for more thumbnails."
            raise JobError(msg)
        return False  # no second try

    def note(line: str, reply: dict[str, Any]) -> None:
        if reply["uri"]:
            drawn[Path(json.loads(line)[0])] = PagePhoto(reply["uri"], reply["small_uri"])
        go_on()

    with suppress(JobError, OSError), processes or ProcessPool(DRAWING, 1) as ready:
        ready.run([json.dumps([str(file), min(timeout_s, _ONE_S)]) for file in files], note, go_on)
    return drawn


def draw() -> int:
    """Make thumbnails until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C, the command ends this process
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process even if a decoder holds the GIL
    with take_streams() as replies:
        replies.write('{"ready": true}\n')
        for line in sys.stdin:
            file, timeout_s = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            photo = PagePhoto.of(Path(file))
            signal.setitimer(signal.ITIMER_REAL, 0)
            replies.write(json.dumps(asdict(photo)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(draw())
