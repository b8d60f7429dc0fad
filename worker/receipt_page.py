"""A receipt as one self-contained HTML page."""

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from worker.receipt import Receipt

__all__ = ["PagePicture", "receipt_page"]

_PAGE: Final = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hangtag: $rows rows labelled</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #212529; background: #f8f9fa; margin: 2rem auto; max-width: 88rem;
  padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.tables { display: flex; flex-wrap: wrap; gap: 2rem; align-items: flex-start }
table { border-collapse: collapse; background: #fff } caption { text-align: left; font-weight: 600 }
td, th { padding: .25rem .75rem; border: 1px solid #dee2e6; text-align: left } td.n { text-align: right }
.bar { display: inline-block; height: .7rem; background: #4c6ef5; vertical-align: baseline }
img { max-width: 100%; border: 1px solid #dee2e6; background: #fff }
.facts { color: #495057 }
</style></head><body>
<h1>$rows rows labelled</h1>
<p class="facts">$facts</p>
<div class="tables">$tables</div>
$pictures
</body></html>
""")


@dataclass(frozen=True)
class PagePicture:
    """A PNG and what it shows."""

    title: str
    path: Path


def receipt_page(receipt: Receipt, pictures: list[PagePicture]) -> str:
    """A page with a receipt's counts, and pictures under them.

    Args:
        receipt: of a merged job.
        pictures: PNG files, which are put into the page.

    Returns:
        HTML that needs no other file.
    """
    return _PAGE.substitute(
        rows=f"{receipt.rows:,}",
        facts=_facts(receipt),
        tables=_tables(receipt),
        pictures="".join(_picture(picture) for picture in pictures),
    )


def _facts(receipt: Receipt) -> str:
    run = receipt.run
    facts = [
        f"From {receipt.source}",
        f"with {receipt.model.reference}",
        f"{run.images:,} images in {run.seconds:.1f} s on {run.workers} processes: {run.images_per_s:,.0f} images/s",
        f"finished {receipt.finished_at}",
    ]
    return "<br>".join(escape(fact) for fact in facts)


def _tables(receipt: Receipt) -> str:
    bins = len(receipt.confidence_histogram)
    confidence = {f"{i / bins:.2f} to {(i + 1) / bins:.2f}": n for i, n in enumerate(receipt.confidence_histogram)}
    errors = {kind: errors.count for kind, errors in receipt.errors.items()}
    statuses = {status.value: count for status, count in receipt.by_status.items()}
    tables = (("Labels", receipt.by_label), ("Status", {**statuses, **errors}), ("Confidence", confidence))
    return "".join(_table(title, counts) for title, counts in tables)


def _table(title: str, counts: dict[str, int]) -> str:
    most = max(counts.values(), default=0) or 1
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{count:,}</td>'
        f'<td><span class="bar" style="width: {8 * count / most:.2f}rem"></span></td></tr>'
        for name, count in counts.items()
    )
    return f"<table><caption>{escape(title)}</caption>{rows}</table>"


def _picture(picture: PagePicture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode()
    title = escape(picture.title)
    return f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,{data}">'
