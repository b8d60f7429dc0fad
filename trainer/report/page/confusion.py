"""What is taken for what: a matrix with numbers for a few classes, pictures and the worst pairs for many."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.text import number_of
from pages.text import isolated, share
from trainer.judging.figures import confusion
from trainer.report.material import ReportMaterial, judged_of, shown_split
from trainer.report.page.data import LONGEST_LABEL
from trainer.report.page.matrix_picture import blocks_of, matrix_picture
from trainer.report.page.table import table
from worker.page.sections import more, section

__all__ = ["confusion_section"]

_MOST_NAMED: Final = 20
_FEW: Final = 6
_MOST_PAIRS: Final = 10
_DEEP: Final = 0.8
_KEY: Final = '<p class="key"><span><i class="val"></i>right</span><span><i class="wrong"></i>wrong</span></p>'

Matrix = NDArray[np.int64]


def confusion_section(material: ReportMaterial) -> str:
    """Counts, shares of the true class, and the pairs that are confused most."""
    judged, classes = judged_of(material), material.args.classes
    matrix = confusion(judged.probabilities, judged.labels, len(classes))
    shown = _tables(matrix, classes) if len(classes) <= _MOST_NAMED else _pictures(matrix)
    split = shown_split(material).word
    count = number_of(len(judged.labels), f"{split} photo", f"{split} photos")
    title = f'Confusion <span class="faint">· {count}</span>'
    return section(title, _KEY + shown + _pairs(matrix, classes), "", "confusion")


def _shares(matrix: Matrix) -> NDArray[np.float64]:
    return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), np.float64)


def _tables(matrix: Matrix, classes: Sequence[str]) -> str:
    """Rows are the truth; the deeper the colour, the more."""
    shares = _shares(matrix)
    counts = [[f"{count:,}" if count else "" for count in row] for row in matrix]
    percents = [[f"{100 * part:.0f}" if part else "" for part in row] for row in shares]
    both = (
        _matrix("Photos", classes, counts, matrix / max(1, matrix.max())),
        _matrix("Share of the true class, in percent", classes, percents, shares),
    )
    return f'<div class="pair">{"".join(both)}</div>'


def _matrix(title: str, classes: Sequence[str], texts: Sequence[Sequence[str]], shades: NDArray[np.float64]) -> str:
    names = [isolated(name, LONGEST_LABEL) for name in classes]
    heads = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    rows = ""
    for place, name in enumerate(names):
        pairs = zip(texts[place], shades[place], strict=True)
        cells = "".join(_cell(text, shade, right=place == column) for column, (text, shade) in enumerate(pairs))
        rows += f'<tr><th scope="row">{name}</th>{cells}</tr>'
    kind = "matrix few" if len(classes) <= _FEW else "matrix"
    corner = '<th class="corner">is ↓ said →</th>'
    return f"<figure><figcaption>{title}</figcaption>{table(kind, corner + heads, rows)}</figure>"


def _cell(text: str, shade: float, *, right: bool) -> str:
    """The square root of a shade is drawn, so that a few mistakes are seen beside many that are right."""
    depth = float(np.sqrt(shade))
    kind = ("right" if right else "wrong") + (" deep" if depth > _DEEP else "")
    return f'<td class="{kind}" style="--depth: {depth:.0%}">{text}</td>'


def _pictures(matrix: Matrix) -> str:
    """The same for many classes, without numbers; a dot may stand for several classes."""
    places = np.argwhere(matrix)
    counts = matrix[tuple(places.T)]
    shown = (
        ("Photos, on a logarithmic scale", np.log1p(counts) / np.log1p(counts.max())),
        ("Share of the true class", counts / matrix.sum(axis=1)[places[:, 0]]),
    )
    pictures = "".join(
        f"<figure><figcaption>{title}</figcaption>{matrix_picture(places, shades, len(matrix), title)}</figure>"
        for title, shades in shown
    )
    block = blocks_of(len(matrix))
    note = f" A dot stands for {block:,} by {block:,} classes, the worst of which it shows." if block > 1 else ""
    said = f"Rows are what a photo is, columns what it was said to be, in the order of the labels.{note}"
    return f'<p class="faint">{said}</p><div class="pair">{pictures}</div>'


def _pairs(matrix: Matrix, classes: Sequence[str]) -> str:
    """The pairs that are confused most, by photos, then by share of the true class."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    places = np.argwhere(wrong)
    if not len(places):
        return '<p class="faint more">No photo is taken for one of another class.</p>'
    counts, sizes = wrong[tuple(places.T)], matrix.sum(axis=1)[places[:, 0]]
    order = np.lexsort((-counts / sizes, -counts))
    rows = "".join(
        _pair(classes[is_], classes[said], int(wrong[is_, said]), int(matrix[is_].sum()), int(counts.max()))
        for is_, said in places[order[:_MOST_PAIRS]]
    )
    head = '<th>is</th><th>taken for</th><th class="n">photos</th><th class="n">of the class</th><th class="line"></th>'
    rest = more(len(places) - _MOST_PAIRS, "pair", "pairs", "predictions.csv")
    return f"<h3>Confused most</h3>{table('pairs', head, rows)}{rest}"


def _pair(one: str, other: str, count: int, size: int, most: int) -> str:
    return (
        f"<tr><td>{isolated(one, LONGEST_LABEL)}</td><td>{isolated(other, LONGEST_LABEL)}</td>"
        f'<td class="n">{count:,}</td><td class="n">{share(count, size)}</td>'
        f'<td class="line"><span class="wrong" style="width: {100 * count / most:.1f}%"></span></td></tr>'
    )
