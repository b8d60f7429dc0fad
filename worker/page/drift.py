"""The section of a receipt's page that compares its photos with those that the model was proved on."""

from typing import Final

from models.text import number_of
from worker.page.histogram_svg import histogram_svg
from worker.page.text import share, visible
from worker.receipt import Receipt

__all__ = ["drift_section"]

_MOST_LABELS: Final = 8
_LONGEST_NAME: Final = 80


def drift_section(receipt: Receipt) -> str:
    """Both confidences in one histogram, and the classes whose shares differ most.

    Args:
        receipt: one that tells of drift.
    """
    drift = receipt.drift
    assert drift is not None  # noqa: S101 - the caller has looked
    said = drift.warning or "These photos are like those that the model was proved on, as far as chance can tell."
    kind = ' class="badge"' if drift.warning else ""
    indices = f"PSI of confidence {drift.confidence_psi:.2f}, of labels {drift.label_psi:.2f}"
    photos = f"{number_of(drift.rows, 'photo', 'photos')} against {number_of(drift.reference_rows, 'photo', 'photos')}"
    counts, usual = receipt.confidence_histogram, drift.reference.confidence_histogram
    expected = [sum(counts) * count / (sum(usual) or 1) for count in usual]
    chart = histogram_svg(counts, expected)
    note = '<p class="faint">Bars: the rows of this job. Dashed: the photos that the model was proved on.</p>'
    return (
        '<section id="drift"><h2>Compared with the photos that the model was proved on</h2>'
        f'<p{kind}>{visible(said)}</p><p class="faint">{indices}; {photos}, each distinct one counted once.</p>'
        f'<div class="pair"><div>{chart}{note}</div><div>{_shares(receipt.by_label, drift.reference.by_label)}</div>'
        "</div></section>"
    )


def _shares(here: dict[str, int], there: dict[str, int]) -> str:
    whole, usual = sum(here.values()) or 1, sum(there.values()) or 1

    def moved(name: str) -> float:
        return abs(here.get(name, 0) / whole - there.get(name, 0) / usual)

    names = sorted(sorted(here.keys() | there.keys()), key=moved, reverse=True)[:_MOST_LABELS]
    rows = "".join(
        f'<tr><td dir="auto">{visible(name, _LONGEST_NAME)}</td><td class="n">{share(here.get(name, 0), whole)}</td>'
        f'<td class="n">{share(there.get(name, 0), usual)}</td></tr>'
        for name in names
    )
    head = '<th>label</th><th class="n">here</th><th class="n">when proved</th>'
    return f'<table class="shares"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
