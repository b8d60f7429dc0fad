"""A job's receipt as a page, with some of its photos."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Final, NamedTuple

from catalogue.photo import FAULTS, Wanted
from models.decision import UNMEASURED, precision_text
from models.errors import HangtagError
from pages.render import render
from pages.text import share
from pages.tiles import LabelledPhoto, PagePhoto, data_uri, failed_last
from worker.job.job import Job
from worker.job.parts import Status, photos_text
from worker.job.photos import photos_of
from worker.job.receipt import QuestionsReceipt, Receipt
from worker.job.scratch import scratch_folder
from worker.job.spec import ModelPin
from worker.labelling.process_pool import ProcessPool
from worker.results.thumbnails import draw_apart
from worker.results.vote import Product, Verdict

RECEIPT_TEMPLATE: Final = "receipt.html"
_WITHIN_S: Final = 15.0
_MOST_MOVED: Final = 8


class ProductPhotos(NamedTuple):
    """A product whose photos disagree, with some of them."""

    product: Product
    verdict: Verdict
    photos: tuple[LabelledPhoto, ...]


def receipt_page(
    receipt: Receipt,
    pictures: Mapping[str, Path] = MappingProxyType({}),
    photos: Sequence[LabelledPhoto] = (),
    products: Sequence[ProductPhotos] = (),
    question: str = "",
    doubtful: Mapping[str, Sequence[LabelledPhoto]] = MappingProxyType({}),
    links: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A page with all that is in a receipt.

    Args:
        receipt: of a merged job.
        pictures: what it shows → a PNG, shown whole.
        photos: some of the labelled photos.
        products: some of the products whose photos disagree.
        question: whose receipt it is, if the job has named models.
        doubtful: label → some rows to review, the least sure first.
        links: words → an address near the page.
    """
    return render(
        RECEIPT_TEMPLATE,
        receipt=receipt,
        source=PurePath(receipt.source).name,
        meanings=_meanings(receipt.model),
        faults=FAULTS,
        moved=_most_moved(receipt),
        unmeasured=UNMEASURED,
        photo_work=photos_text(receipt.photos),
        pictures={title: data_uri(path.read_bytes(), "png") for title, path in pictures.items()},
        photos=failed_last(photos),
        products=products,
        question=question,
        doubtful=doubtful,
        links=links,
    )


def questions_page(
    receipt: QuestionsReceipt, pages: Mapping[str, str], links: Mapping[str, str] = MappingProxyType({})
) -> str:
    """A page with the receipt of a job with named models; ``pages``: question → where its page is."""
    return render(
        "questions.html",
        receipt=receipt,
        source=PurePath(receipt.source).name,
        faults=FAULTS,
        photo_work=photos_text(receipt.photos),
        pages=pages,
        links=links,
    )


def _meanings(model: ModelPin) -> dict[Status, str]:
    """The meaning of each status, in words."""
    labeled = "no precision is promised"
    if model.threshold is not None:
        labeled = f"at least {model.threshold} sure, as asked for; no precision is promised"
    elif model.precision is not None:
        labeled = f"sure enough for precision {precision_text(model.precision)}"
    return {Status.LABELED: labeled, Status.REVIEW: "a person should look", Status.FAILED: "no label; see the errors"}


def _most_moved(receipt: Receipt) -> list[tuple[str, str, str]]:
    """The labels whose shares differ most from the photos that the model was proved on, with both shares."""
    if receipt.drift is None or receipt.by_level:  # those of a tree are not of classes only
        return []
    here, there = receipt.by_label, receipt.drift.reference.by_label
    whole, usual = sum(here.values()) or 1, sum(there.values()) or 1

    def moved(name: str) -> float:
        return abs(here.get(name, 0) / whole - there.get(name, 0) / usual)

    names = sorted(sorted(here.keys() | there.keys()), key=moved, reverse=True)[:_MOST_MOVED]
    return [(name, share(here.get(name, 0), whole), share(there.get(name, 0), usual)) for name in names]


def brought(
    job: Job, cells: Iterable[str | None], drawing: ProcessPool | None = None, within_s: float = _WITHIN_S
) -> Mapping[str, PagePhoto]:
    """Read some photos of a job, from the same places as labelling and no others, and make them small.

    Args:
        job: whose photos they are.
        cells: what names them; empty ones are left out.
        drawing: see :func:`worker.results.thumbnails.draw_apart`, which leaves some out, too.
        within_s: seconds; photos that do not arrive within them are left out.

    Returns:
        Cell → the photo inside a white square.
    """
    cell_of: dict[Path, str] = {}
    with scratch_folder(job.storage) as folder:
        with suppress(OSError):  # a full disk costs pictures, not the receipt
            for number, (cell, data) in enumerate(_fetched(job, cells, within_s)):
                file = folder / str(number)
                file.write_bytes(data)
                cell_of[file] = cell
        drawn = draw_apart(cell_of, job.spec.options.timeout_s, drawing)
        return {cell_of[file]: PagePhoto(file.read_bytes()) for file in drawn}


def _fetched(job: Job, cells: Iterable[str | None], within_s: float) -> Iterator[tuple[str, bytes]]:
    wanted = [Wanted(0, row, cell) for row, cell in enumerate(dict.fromkeys(filter(None, cells)))]
    until = time.monotonic() + within_s
    with suppress(HangtagError), closing(photos_of(job)) as photos:  # such as credentials that this machine lacks
        photos.want(wanted, {})
        for _ in wanted:
            left_s = until - time.monotonic()
            photo = photos.take(left_s) if left_s > 0 else None  # a slow disk's are read when they are taken
            if photo is None:
                break
            if photo.wanted.cell and isinstance(photo.outcome, bytes):
                yield photo.wanted.cell, photo.outcome
