"""Whether a challenger does right by each class."""

from typing import Final

from scipy.stats import norm

from models.statistics.intervals import MISTRUST, Interval, difference_interval, proportion_interval
from models.text import number_of
from trainer.retrain.config import GateSettings
from trainer.retrain.phrases import between, listed, percent, signed
from trainer.retrain.records import Check, ClassComparison, Comparison

__all__ = ["check_new_classes", "check_recall", "check_vanished_classes"]

_FAMILY: Final = 0.25
"""How many of all classes may seem to have lost something, on average, where none has: see :func:`check_recall`."""


def check_recall(settings: GateSettings, comparison: Comparison) -> Check | None:
    """No class loses more than asked beyond noise: more was measured, and the interval holds no zero.

    Many classes are many chances to be unlucky. Up to ten are held to their own 95% intervals: what is missed costs a
    class, and what is refused by mistake comes again with the next cycle. With more than ten, intervals are widened so
    that one in four challengers, at most, that are as good as the champion on every class is refused for one of them
    (Bonferroni's bound; far fewer are, as benchmarks/gate.py shows). So with hundreds of classes a loss must be larger
    to be seen.
    """
    compared = {name: found for name, found in comparison.classes.items() if found.points_95 is not None}
    if not compared:
        return None
    wider = _wider(len(compared))
    lost = [
        _loss(name, found)
        for name, found in sorted(compared.items(), key=lambda item: item[1].points or 0.0)
        if -(found.points or 0.0) > settings.max_class_loss_points and _upper_end(found.points_95, wider) < 0
    ]
    limit = f"{signed(settings.max_class_loss_points)} points of recall beyond noise"
    if lost:
        return Check(name="recall", passed=False, sentence=f"More than {limit} is lost: {'; '.join(lost)}.")
    worst = min(compared, key=lambda name: compared[name].points or 0.0)
    sentence = (
        f"No class of {len(compared):,} lost more than {limit}; the least lucky: {_loss(worst, compared[worst])}."
    )
    known = {name: found for name, found in comparison.classes.items() if name not in comparison.new_classes}
    blind = [name for name, found in known.items() if _is_blind(found, wider)]
    if blind:
        sentence += f" Too few test photos to see a loss of any size: {listed(blind)}."
    return Check(name="recall", passed=True, sentence=sentence, doubtful=any(not known[name].photos for name in blind))


def _wider(classes: int) -> float:
    """How many times as wide as a 95% interval one must be for each of so many classes."""
    return float(norm.isf(min(MISTRUST / 2, _FAMILY / classes)) / norm.isf(MISTRUST / 2))


def _upper_end(interval: Interval | None, wider: float) -> float:
    low, high = interval or (0.0, 0.0)
    return (low + high) / 2 + wider * (high - low) / 2


def _is_blind(found: ClassComparison, wider: float) -> bool:
    """Whether not even the loss of all that the champion labels right would be beyond noise."""
    if not found.photos:
        return True
    hits = round((found.champion or 0.0) * found.photos)
    return hits > 0 and _upper_end(difference_interval(0, hits, found.photos), wider) >= 0


def _loss(name: str, found: ClassComparison) -> str:
    before, after = percent(found.champion or 0.0), percent(found.challenger)
    points, interval = signed(found.points or 0.0), between(found.points_95 or (0.0, 0.0))
    return f"{name} {points} points, from {before} to {after} ({interval}, {number_of(found.photos, 'photo')})"


def check_new_classes(settings: GateSettings, comparison: Comparison) -> Check | None:
    """Each class that the champion does not know is told well enough, and there are test photos to say so."""
    new = {name: comparison.classes[name] for name in comparison.new_classes}
    if not new:
        return None
    limit = settings.min_new_class_recall
    bad = {name: found for name, found in new.items() if limit and (not found.photos or found.challenger < limit)}
    told = "; ".join(_new_class(name, found) for name, found in (bad or new).items())
    end = f"{'less than' if bad else 'at least'} {percent(limit)} as asked"
    return Check(name="new_classes", passed=not bad, sentence=f"Recall of new classes is {end}: {told}.")


def _new_class(name: str, found: ClassComparison) -> str:
    if not found.photos:
        return f"{name} has no test photo; add some photos of it"
    hits = round(found.challenger * found.photos)
    low, high = proportion_interval(hits, found.photos)
    ends = between((100 * low, 100 * high))
    return f"{name} {percent(found.challenger)} ({hits:,} of {number_of(found.photos, 'photo')}, {ends})"


def check_vanished_classes(comparison: Comparison) -> Check | None:
    """No class is gone that nobody has renamed or dropped."""
    if comparison.champion is None:
        return None
    names = comparison.vanished
    if not names:
        told = "Every class of the champion is there, or the settings say what became of it."
        return Check(name="vanished_classes", passed=True, sentence=told)
    told = (
        f"The champion knows {listed(names)}, the challenger does not: bring the photos back, or say what became of "
        f'each, with rename = {{ "{names[0]}" = "…" }} or drop = ["{names[0]}"] in [classes].'
    )
    return Check(name="vanished_classes", passed=False, sentence=told)
