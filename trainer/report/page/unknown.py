"""How strange the known photos seem, and from where on a photo is none of the products."""

import numpy as np
from numpy.typing import NDArray

from models.statistics.confidence import UnknownLimit
from models.text import number_of
from trainer.report.material import ReportMaterial, judged_of, of_split, shown_split
from trainer.report.page.chart import Chart, axis_over
from trainer.report.rates import percent
from worker.page.sections import section

__all__ = ["unknown_section"]

_BINS = 40
_TAIL = 0.2
"""Of a percent, at each end: what lies there is counted in the last bin."""


def unknown_section(material: ReportMaterial) -> str:
    """A histogram of the unknown score with its limit."""
    title, limit, scores = "Not one of the products", material.confidence.unknown, judged_of(material).unknown
    if limit is None or scores is None:
        note = "No unknown score could be learned: a photo of something else is told by its low confidence only."
        return section(title, f'<p class="faint">{note}</p>', "", "unknown")
    known = scores[np.isfinite(scores)].astype(np.float64)
    chart = _histogram(known, limit) if len(known) else ""
    key = (
        '<p class="key"><span><i class="labeled"></i>within the limit</span>'
        '<span><i class="review"></i>sent to a person</span></p>'
    )
    faint = f'<span class="faint">· {limit.score} score of the {shown_split(material).word} photos</span>'
    return section(f"{title} {faint}", f"{key}{chart}{_note(material, limit)}", "", "unknown")


def _note(material: ReportMaterial, limit: UnknownLimit) -> str:
    split, found = shown_split(material), material.evaluation.unknown
    reviewed = of_split(found.review, split) if found else None
    said = f" Of the {split.word} photos, all known, it sends {percent(reviewed)}." if reviewed is not None else ""
    return (
        f'<p class="faint">The higher the score, the stranger the photo. What is above {limit.limit:.3g} goes to a '
        f"person: a limit that {percent(limit.kept)} of the known photos keep.{said}</p>"
    )


def _histogram(scores: NDArray[np.float64], limit: UnknownLimit) -> str:
    low, high = np.percentile(scores, (_TAIL, 100 - _TAIL))
    low, high = min(low, limit.limit), max(high, limit.limit)
    pad = (high - low) / _BINS or 0.5
    edges = _edges(float(low - pad), float(high + pad), limit.limit)
    counts, _ = np.histogram(scores.clip(edges[0], edges[-1]), edges)
    x = axis_over(edges.tolist(), "unknown score", tight=True)
    chart = Chart("Histogram of the unknown score", x, axis_over([0, *counts.tolist()], "photos"), 560, 230)
    bars = "".join(
        chart.bar(
            left, right, int(count), "review" if left >= limit.limit else "labeled", _said(left, right, int(count))
        )
        for left, right, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts, strict=True)
    )
    return f'<div class="wide">{chart.drawn(bars + chart.line((limit.limit,) * 2, (0, chart.y.high), "limit"))}</div>'


def _edges(low: float, high: float, limit: float) -> NDArray[np.float64]:
    """Edges of bins of one width, one of which is the limit."""
    width = (high - low) / _BINS
    below, above = int(np.ceil((limit - low) / width - 1e-6)), int(np.ceil((high - limit) / width - 1e-6))
    return np.asarray(limit + width * np.arange(-max(1, below), max(1, above) + 1), np.float64)


def _said(left: float, right: float, count: int) -> str:
    return f"{left:.3g} to {right:.3g}: {number_of(count, 'photo', 'photos')}"
