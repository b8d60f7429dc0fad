"""A receipt as one self-contained HTML page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from models.precision import precision_text
from models.text import number_of
from worker.job import ModelPin
from worker.page.contact_sheet import SheetPhoto
from worker.page.drift import drift_section
from worker.page.frame import framed
from worker.page.products import PRODUCTS_STYLE, ProductPhotos, products_section
from worker.page.sections import receipt_sections, section
from worker.page.text import isolated, share, visible
from worker.page.tiles import photo_tiles
from worker.receipt import Receipt
from worker.results import Status

__all__ = ["PagePicture", "receipt_page"]

_MEANING: Final = {Status.REVIEW: "a person should look", Status.FAILED: "no label; see the errors"}


@dataclass(frozen=True)
class PagePicture:
    """A PNG and what it shows."""

    title: str
    path: Path


def receipt_page(
    receipt: Receipt,
    pictures: Sequence[PagePicture],
    photos: Sequence[SheetPhoto] = (),
    products: Sequence[ProductPhotos] = (),
) -> str:
    """A page with all that a receipt says, and pictures.

    Args:
        receipt: of a merged job.
        pictures: PNG files, which are put into the page.
        photos: some of the labelled photos, which become tiles.
        products: some of the products whose photos disagree.

    Returns:
        HTML that needs no other file and runs no script.
    """
    rows, source = number_of(receipt.rows, "row", "rows"), PurePath(receipt.source).name
    counts, details = receipt_sections(receipt)
    shown = [products_section(receipt.groups, products)] if receipt.groups else []
    shown += [section("Some of the photos", photo_tiles(photos), "long")] if photos else []
    shown += [_picture(picture) for picture in pictures]
    drift = [drift_section(receipt)] if receipt.drift else []
    head = f"<h1>{rows} of {isolated(source)}</h1>"
    body = (head, _lead(receipt), _numbers(receipt), counts, *drift, *shown, details)
    return framed(f"{rows} of {visible(source)}", "\n".join(body), PRODUCTS_STYLE if receipt.groups else "")


def _lead(receipt: Receipt) -> str:
    warned = receipt.drift is not None and receipt.drift.warning is not None
    drift = ' <a class="badge" href="#drift">These photos are unlike those it was proved on.</a>' if warned else ""
    named = f" ({isolated(receipt.named.words)})" if receipt.named else ""
    retry = f' <span class="badge">After retry {receipt.retry} of the failed rows.</span>' if receipt.retry else ""
    return (
        f'<p class="faint">Labelled with {isolated(receipt.model.reference)}{named}, finished '
        f"{visible(_moment(receipt.finished_at))}. {visible(receipt.model.rule)}{retry}{drift}</p>"
    )


def _moment(finished_at: str) -> str:
    return finished_at.replace("T", " ").replace("+00:00", " UTC")


def _numbers(receipt: Receipt) -> str:
    statuses = receipt.by_status.items()
    meaning = {Status.LABELED: _labeled(receipt.model), **_MEANING}
    reasons = "".join(f"<br>{reason.words}: {count:,}" for reason, count in receipt.review_reasons.items())
    cards = "".join(
        f'<div class="{status}"><b>{count:,}</b>{status} ({share(count, receipt.rows)})'
        f"<span>{meaning[status]}{reasons if status is Status.REVIEW else ''}</span></div>"
        for status, count in statuses
    )
    speed = f"<div><b>{receipt.images_per_s:,.0f}</b>images/s<span>in the last run</span></div>"
    stack = "".join(f'<span class="{status}" style="flex-grow: {n}"></span>' for status, n in statuses if n)
    return f'<div class="numbers">{cards}{speed}</div><div class="stack">{stack}</div>'


def _labeled(model: ModelPin) -> str:
    """What a row must be to be labeled."""
    if model.threshold is not None:
        return f"at least {model.threshold} sure, as asked for; no precision is promised"
    if model.precision is None:
        return "no precision is promised"
    return f"sure enough for precision {precision_text(model.precision)}"


def _picture(picture: PagePicture) -> str:
    data, title = base64.b64encode(picture.path.read_bytes()).decode(), visible(picture.title)
    return section(title, f'<div class="wide"><img alt="{title}" src="data:image/png;base64,{data}"></div>')
