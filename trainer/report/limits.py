"""What a network does not know, and where it is weak."""

from collections.abc import Iterator
from typing import Final

from exporter.markdown import listed, plain
from models.text import number_of
from trainer.data.dataset import Split
from trainer.judging.evaluate import Figures
from trainer.report.material import ReportMaterial
from trainer.report.rates import percent
from trainer.report.shown import of_split, shown_figures, shown_split, weakest

__all__ = ["limits"]

_FEW_PHOTOS: Final = 30
_MOST_NAMED: Final = 10


def limits(material: ReportMaterial) -> Iterator[str]:
    """A line of Markdown for each."""
    learned = material.prepared_counts.get(Split.TRAIN, {})
    few = sorted((learned.get(name, 0), name) for name in material.args.classes if learned.get(name, 0) < _FEW_PHOTOS)
    if few:
        named = listed([f"{plain(name)} ({count})" for count, name in few], _MOST_NAMED)
        yield f"Classes with fewer than {_FEW_PHOTOS} photos to learn from: {named}."
    figures = shown_figures(material)
    if figures:
        yield from _seldom_found(figures, shown_split(material))
    yield _unknown(material)
    if material.issues:
        photos = number_of(len(material.issues), "photo", "photos")
        yield f"{photos} of the data may be labelled wrongly: see `label_issues.csv`."
    yield (
        "It was measured on photos of the same data as those that it learned from. Photos of another source are likely "
        "to be recognised less often, and what is promised above may not hold for them."
    )


def _seldom_found(figures: Figures, split: Split) -> Iterator[str]:
    weak = [f"{plain(name)} ({percent(figures.classes[name].recall)})" for name in weakest(figures)]
    if weak:
        yield f"Classes that are found least often, with the share of their {split.word} photos: {', '.join(weak)}."
    unmeasured = [plain(name) for name, one in figures.classes.items() if not one.support]
    if unmeasured:
        yield f"Classes without {split.word} photos, of which nothing is known: {listed(unmeasured, _MOST_NAMED)}."


def _unknown(material: ReportMaterial) -> str:
    limit, found = material.confidence.unknown, material.evaluation.unknown
    if limit is None:
        return "Whether a photo shows something else than its classes: no unknown score could be learned."
    split = shown_split(material)
    sent = of_split(found.review, split) if found else None
    reviewed = f"; of the {split.word} photos, all known, it sends {percent(sent)}" if sent is not None else ""
    return (
        f"Whether a photo shows something else than its classes, it guesses from its {limit.score} score: what is "
        f"above {limit.limit:.4g} goes to a person{reviewed}. Not everything that is strange is above it."
    )
