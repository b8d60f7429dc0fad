"""The sections of a receipt's page."""

from collections.abc import Mapping
from typing import Final

from models.errors import ImageFault
from models.text import number_of
from worker.page.histogram_svg import histogram_svg
from worker.page.text import duration, isolated, share, visible
from worker.photos_text import photos_text
from worker.receipt import ErrorCount, ErrorExample, Receipt

__all__ = ["receipt_sections", "section"]

_MOST_LINES: Final = 40
_LONGEST_NAME: Final = 80
_MEANING: Final[Mapping[str, str]] = {
    ImageFault.MISSING: "there is no photo there",
    ImageFault.REFUSED: "it may not be read, or its host not be asked",
    ImageFault.DOWNLOAD: "it could not be fetched",
    ImageFault.TIMEOUT: "decoding it took too long",
    ImageFault.TOO_LARGE: "it has more bytes or pixels than are accepted",
    ImageFault.UNREADABLE: "it is no image, or a damaged one",
    ImageFault.CRASHED: "the decoder died of it, twice",
}


def receipt_sections(receipt: Receipt) -> tuple[str, str]:
    """What a receipt counts, for the top of a page; and where it came from and what it took, for its end."""
    counts = f"{_pair(_labels(receipt), _confidence(receipt))}{_errors(receipt)}"
    details = f"{_pair(_job(receipt), _work(receipt))}{_left_out(receipt.left_out)}"
    return counts, details


def section(title: str, content: str, kind: str = "", anchor: str = "") -> str:
    """A titled part of a page.

    Args:
        title: HTML.
        content: HTML.
        kind: ``long`` for one that may be broken between printed pages.
        anchor: what a link to it says after its ``#``.
    """
    name = f' id="{anchor}"' if anchor else ""
    return f'<section class="{kind}"{name}><h2>{title}</h2>{content}</section>'


def _pair(*sections: str) -> str:
    return f'<div class="pair">{"".join(sections)}</div>'


def _labels(receipt: Receipt) -> str:
    if not receipt.by_label:
        return section("Labels", '<p class="faint">No row has a label.</p>')
    title = f'Labels <span class="faint">· {len(receipt.by_label):,}</span>'
    return section(title, _count_table("label", receipt.by_label, receipt.rows), "long")


def _count_table(name: str, counts: Mapping[str, int], whole: int) -> str:
    """The first lines, each with its share of the whole and a bar; the others as one line."""
    most = max(counts.values(), default=0) or 1
    shown, others = list(counts.items())[:_MOST_LINES], list(counts.values())[_MOST_LINES:]
    rows = "".join(
        f'<tr><td dir="auto">{visible(key, _LONGEST_NAME)}</td><td class="n">{count:,}</td>'
        f'<td class="n">{share(count, whole)}</td>'
        f'<td class="line"><span style="width: {100 * count / most:.1f}%"></span></td></tr>'
        for key, count in shown
    )
    if others:
        rows += (
            f'<tr class="faint"><td>and {len(others):,} more</td><td class="n">{sum(others):,}</td>'
            f'<td class="n">{share(sum(others), whole)}</td><td class="line"></td></tr>'
        )
    head = f'<th>{name}</th><th class="n">rows</th><th class="n">share</th><th class="line"></th>'
    return f'<table class="counts"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _confidence(receipt: Receipt) -> str:
    counts = receipt.confidence_histogram
    if not sum(counts):
        return section("Confidence", '<p class="faint">No row has a confidence.</p>')
    least = 1 - 1 / len(counts)
    note = f"{share(counts[-1], sum(counts))} of the rows with a label have a confidence of {least:.2f} or more."
    return section("Confidence", f'{histogram_svg(counts)}<p class="faint">{note}</p>')


def _errors(receipt: Receipt) -> str:
    if not receipt.errors:
        return section("Errors", '<p class="faint">No row failed.</p>')
    note = '<p class="faint">The first rows of each kind. Row 1 is the first row of the catalogue.</p>'
    kinds = "".join(_error_kind(kind, errors, receipt.rows) for kind, errors in receipt.errors.items())
    return section("Errors", note + kinds, "long")


def _error_kind(kind: str, errors: ErrorCount, rows: int) -> str:
    meaning = f": {_MEANING[kind]}" if kind in _MEANING else ""
    count = f"{number_of(errors.count, 'row', 'rows')}, {share(errors.count, rows)}"
    examples = "".join(map(_example, errors.examples))
    head = '<th class="n">row</th><th class="image">image</th><th>message</th>'
    more = errors.count - len(errors.examples)
    rest = f'<p class="faint">and {more:,} more</p>' if more else ""
    return (
        f'<h3>{visible(kind)} <span class="faint">· {count}{meaning}</span></h3>'
        f'<table class="examples"><thead><tr>{head}</tr></thead><tbody>{examples}</tbody></table>{rest}'
    )


def _example(example: ErrorExample) -> str:
    image = f"<code>{visible(example.image)}</code>" if example.image else '<i class="faint">an empty cell</i>'
    return (
        f'<tr><td class="n">{example.row:,}</td><td class="image">{image}</td><td>{visible(example.message)}</td></tr>'
    )


def _job(receipt: Receipt) -> str:
    facts = {
        "Source": f"<code>{visible(receipt.source)}</code>",
        "Output": f"<code>{visible(receipt.output)}</code>",
        "To review": f"<code>{visible(receipt.review_file)}</code>" if receipt.review_file else "",
        "Products": f"<code>{visible(receipt.groups_file)}</code>" if receipt.groups_file else "",
        "Job": f"<code>{visible(receipt.job)}</code>",
        "Finished": f"<code>{visible(receipt.finished_at)}</code>",
        "Retry": f"{receipt.retry} of the failed rows" if receipt.retry else "",
        "Model": visible(receipt.model.reference),
        "Asked for": visible(receipt.named.words) if receipt.named else "",
        "Variant": visible(receipt.model.variant),
        "Digest": f"<code>{visible(receipt.model.digest)}</code>",
        "Rule": visible(receipt.model.rule),
    }
    return section("Job and model", _facts(facts))


def _work(receipt: Receipt) -> str:
    run, work = receipt.run, receipt.work
    last_run = {
        "Speed": f"{receipt.images_per_s:,.1f} images/s",
        "Images": f"{run.images:,} in {duration(run.seconds)}",
        "Processes": f"{run.workers:,}",
        "Replaced": f"{number_of(run.restarts, 'process that died', 'processes that died')}" if run.restarts else "",
    }
    all_runs = {
        "Processes": f"{work.processes:,}",
        "Busy": duration(work.busy_s),
        "Deaths": f"{number_of(work.deaths, 'try', 'tries')} that ended with their process",
        "Photos": photos_text(receipt.photos),
    }
    machines = _count_table("machine", work.hosts, receipt.rows) if work.hosts else ""
    return section("Work", f"<h3>Last run</h3>{_facts(last_run)}<h3>All runs</h3>{_facts(all_runs)}{machines}")


def _facts(facts: Mapping[str, str]) -> str:
    """A list of names and their HTML; a fact that has none is left out."""
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in facts.items() if value)}</dl>"


def _left_out(endings: Mapping[str, int]) -> str:
    if not endings:
        return ""
    files = number_of(sum(endings.values()), "file", "files")
    note = f"{files} of the folder whose names do not say image, by ending. They are no rows of the result."
    counts = [f"{isolated(ending) if ending else 'without ending'}: {n:,}" for ending, n in endings.items()]
    rest = f", and {len(counts) - _MOST_LINES:,} more" if len(counts) > _MOST_LINES else ""
    return section("Left out", f'<p class="faint">{note}</p><p>{", ".join(counts[:_MOST_LINES])}{rest}</p>')
