"""The gate: checks that a challenger must pass to become the champion. Figures and limits in, sentences out."""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from scipy.stats import norm

from models.decision import precision_text
from models.statistics.intervals import MISTRUST, Interval, difference_interval, proportion_interval
from models.text import number_of
from trainer.retrain.config import GateSettings
from trainer.retrain.records import (
    AutomaticLabels,
    Automation,
    CatalogueDiff,
    Check,
    ClassComparison,
    Comparison,
    Verdict,
)

__all__ = ["judge", "points_between"]

_COARSE_POINTS: Final = 5.0
"""Points; a test that could not find a smaller difference than this is called small."""
_FAMILY: Final = 0.25
"""How many classes may seem to have lost, on average, although none has: see :func:`_recall`."""
_NAMED: Final = 5
_MB: Final = 1e6


class Finding(NamedTuple):
    """What a check finds; see :class:`trainer.retrain.records.Check`."""

    passed: bool
    sentence: str
    doubtful: bool = False


def judge(settings: GateSettings, comparison: Comparison, catalogue: CatalogueDiff | None) -> Verdict:
    """Judge a challenger. Pure: the same figures and limits give the same verdict.

    Args:
        settings: the limits; to loosen one never makes a check fail.
        comparison: with the champion, or of a first model, to which only the absolute limits apply.
        catalogue: what would change in the catalogue, if it was compared.

    Returns:
        A check for each thing that can be judged. Without test photos nothing passes.
    """
    judged = {name: check(settings, comparison) for name, check in _CHECKS.items()}
    judged["catalogue"] = _catalogue(settings, comparison, catalogue)
    return Verdict(checks=tuple(Check(name=name, **said._asdict()) for name, said in judged.items() if said))


def _test_photos(settings: GateSettings, comparison: Comparison) -> Finding:
    """There are test photos, and they are those of the frozen test split."""
    photos, unread = comparison.all_photos, comparison.unread
    others = "1 other is" if unread == 1 else f"{unread:,} others are"
    gone = f" {others} gone, changed or unreadable by now." if unread else ""
    if not comparison.photos:
        of = "" if comparison.champion is None or not photos else " of classes that both models know"
        told = f"There are no test photos{of}, so nothing can be said of the challenger; add labelled photos.{gone}"
        return Finding(False, told)
    told = f"Judged on {comparison.photos:,} test photos."
    if comparison.smallest_points is not None and comparison.smallest_points > _COARSE_POINTS:
        smallest = _signed(comparison.smallest_points)
        told += f" These are few: a difference below {smallest} points would mostly go unnoticed."
    most = settings.max_unread_share
    if unread <= max(bool(most), most * (photos + unread)):  # of few photos one may always be lost
        return Finding(True, told + gone)
    lost = f"Of {photos + unread:,} test photos {unread:,} are gone, changed or unreadable by now, and at most "
    todo = f"{_percent(most)} may be: bring them back, or allow more with max_unread_share."
    return Finding(False, f"{lost}{todo} {told}")


def _accuracy(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """The difference of accuracies is large enough."""
    points, before = comparison.points, comparison.champion_accuracy
    if points is None or before is None:
        return None
    gained = points > settings.min_gain_points
    sentence = (
        f"{_moved(points)}, from {_percent(before)} to {_percent(comparison.challenger_accuracy)} of "
        f"{number_of(comparison.photos, 'photo')} ({comparison.won:,} won, {comparison.lost:,} lost): "
        f"{'more' if gained else 'not more'} than {_signed(settings.min_gain_points)} as asked."
    )
    return Finding(gained, sentence)


def _interval(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """The interval of the difference does not reach too far below zero."""
    points, interval, limit = comparison.points, comparison.points_95, -settings.max_loss_points
    if points is None or interval is None:
        return None
    passed = interval[0] >= limit
    end = f"above {_signed(limit)} as asked." if passed else f"the interval reaches below {_signed(limit)}."
    if not passed and points > settings.min_gain_points and points > limit:
        end += _what_would_settle(comparison.photos, interval, points - limit)
    sentence = (
        f"{_moved(points)} ({points_between(interval)}, {number_of(comparison.photos, 'photo')}; this test would "
        f"find a difference of {_signed(comparison.smallest_points or 0.0)}): {end}"
    )
    return Finding(passed, sentence)


def _moved(points: float) -> str:
    if not points:
        return "Accuracy stayed the same"
    return f"Accuracy {'rose' if points > 0 else 'fell'} by {abs(points):.1f} points"


def _what_would_settle(photos: int, interval: Interval, margin: float) -> str:
    """How many photos would narrow the interval enough, were the difference to stay: its width goes as 1/√n."""
    enough = photos * ((interval[1] - interval[0]) / 2 / margin) ** 2
    digits = max(0, math.ceil(math.log10(enough)) - 2)
    rounded = math.ceil(enough / 10**digits) * 10**digits
    return f" Too few test photos to be sure: a rise like this would pass with some {max(rounded, 1):,}."


def _recall(settings: GateSettings, comparison: Comparison) -> Finding | None:
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
    wider = float(norm.isf(min(MISTRUST / 2, _FAMILY / len(compared))) / norm.isf(MISTRUST / 2))
    order = sorted(compared.items(), key=lambda item: item[1].points or 0.0)
    lost = [
        _loss(name, found)
        for name, found in order
        if -(found.points or 0.0) > settings.max_class_loss_points and _upper_end(found.points_95, wider) < 0
    ]
    limit = f"{_signed(settings.max_class_loss_points)} points of recall beyond noise"
    if lost:
        return Finding(False, f"More than {limit} is lost: {'; '.join(lost)}.")
    sentence = f"No class of {len(compared):,} lost more than {limit}; the least lucky: {_loss(*order[0])}."
    known = {name: found for name, found in comparison.classes.items() if name not in comparison.new_classes}
    blind = [name for name, found in known.items() if _is_blind(found, wider)]
    if blind:
        sentence += f" Too few test photos to see a loss of any size: {_listed(blind)}."
    return Finding(True, sentence, any(not known[name].photos for name in blind))


def _upper_end(interval: Interval | None, wider: float) -> float:
    low, high = interval or (0.0, 0.0)
    return (low + high) / 2 + wider * (high - low) / 2


def _is_blind(found: ClassComparison, wider: float) -> bool:
    """Whether the test is too small to see even the loss of all photos that the champion labels right."""
    if not found.photos:
        return True
    hits = round((found.champion or 0.0) * found.photos)
    return hits > 0 and _upper_end(difference_interval(0, hits, found.photos), wider) >= 0


def _loss(name: str, found: ClassComparison) -> str:
    before, after = _percent(found.champion or 0.0), _percent(found.challenger)
    points, interval = _signed(found.points or 0.0), points_between(found.points_95 or (0.0, 0.0))
    return f"{name} {points} points, from {before} to {after} ({interval}, {number_of(found.photos, 'photo')})"


def _new_classes(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """Each class that is new to the champion has enough recall, measured on test photos."""
    new = {name: comparison.classes[name] for name in comparison.new_classes}
    if not new:
        return None
    limit = settings.min_new_class_recall
    bad = {name: found for name, found in new.items() if limit and (not found.photos or found.challenger < limit)}
    told = "; ".join(_new_class(name, found) for name, found in (bad or new).items())
    return Finding(not bad, f"Recall of new classes is {_at_least(not bad, _percent(limit))} as asked: {told}.")


def _new_class(name: str, found: ClassComparison) -> str:
    if not found.photos:
        return f"{name} has no test photo; add some photos of it"
    hits = round(found.challenger * found.photos)
    ends = _between_shares(proportion_interval(hits, found.photos))
    return f"{name} {_percent(found.challenger)} ({hits:,} of {number_of(found.photos, 'photo')}, {ends})"


def _vanished_classes(_: GateSettings, comparison: Comparison) -> Finding | None:
    """No class is gone that nobody has renamed or dropped."""
    names = comparison.vanished
    if comparison.champion is None:
        return None
    if not names:
        return Finding(True, "Every class of the champion is there, or the settings say what became of it.")
    told = (
        f"The champion knows {_listed(names)}, the challenger does not: bring the photos back, or say what became "
        f'of each, with rename = {{ "{names[0]}" = "…" }} or drop = ["{names[0]}"] in [classes].'
    )
    return Finding(False, told)


def _min_accuracy(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """The absolute limit, on all test photos, those of new classes too; of a first model always told."""
    if comparison.champion is not None and not settings.min_accuracy:
        return None
    photos, accuracy = comparison.all_photos, comparison.challenger_all
    interval = proportion_interval(round(accuracy * photos), photos)
    passed = accuracy >= settings.min_accuracy
    said = f"Right on {_percent(accuracy)} of all {photos:,} test photos ({_between_shares(interval)})"
    doubt = _no_better_than_one_word(settings, comparison, interval[0])
    limit = _at_least(passed, _percent(settings.min_accuracy))
    return Finding(passed, f"{said}: {limit} as asked.{doubt}", bool(doubt))


def _no_better_than_one_word(settings: GateSettings, comparison: Comparison, low: float) -> str:
    """A warning if always naming the commonest class of the test photos may be as accurate; else empty."""
    photos, classes = comparison.all_photos, comparison.classes
    if not photos or not classes:
        return ""
    commonest = max(classes, key=lambda name: classes[name].photos)
    share = classes[commonest].photos / photos
    if low > share:
        return ""
    todo = "bring more photos" if settings.min_accuracy else "set min_accuracy, bring more photos"
    return (
        f" It is no better, as far as {photos:,} photos can tell, than always saying {commonest} "
        f"({_percent(share)}): {todo}."
    )


def _calibration(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """The calibration error has not grown too much."""
    found = comparison.calibration
    if found is None:
        return None
    grown, limit = found.challenger - found.champion, settings.max_calibration_loss
    within = grown <= limit
    noise = not within and found.difference_95[0] <= 0
    difference, low, high = (f"{share:.3f}".replace("-", "−") for share in (grown, *found.difference_95))
    sentence = (
        f"Calibration error went from {found.champion:.3f} to {found.challenger:.3f} (a difference of {difference}, "
        f"95% {low} to {high}, {number_of(comparison.photos, 'photo')}): "
        f"{_at_most(within, f'{limit:.3f}')}{' as asked' if within else ''}{', which may be noise' if noise else ''}."
    )
    return Finding(within or noise, sentence)


def _coverage(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """Not many more photos go to review than before, if both promise the same, or the challenger nothing.

    A model that promises more sends more to review: that is shown and not refused. One that promises nothing sends all.
    A first model may send any share; the check is doubtful if it sends them all.
    """
    found, photos, limit = comparison.automation, comparison.photos, settings.max_coverage_loss_points
    if found is None:
        return None
    labels = f"Labels {_percent(found.challenger.photos / photos)} of {number_of(photos, 'photo')} without a person"
    if found.champion is None or found.points is None or found.points_95 is None:
        nothing = found.challenger_precision is None
        return Finding(True, f"{labels}, with {_promise(found.challenger_precision)}.", nothing)
    alike = found.challenger_precision in {None, found.champion_precision}
    within = -found.points <= limit
    noise = not within and found.points_95[1] >= 0
    lost = f"{_at_most(within, _signed(limit))} points are lost{' as asked' if within else ''}"
    sentence = (
        f"{labels}, before {_percent(found.champion.photos / photos)} (a difference of {_signed(found.points)} points, "
        f"{points_between(found.points_95)}; {_promises(found)}): "
        f"{'nothing is lost' if found.points >= 0 else lost}{', which may be noise' if noise else ''}."
    )
    loses_by_choice = False
    if found.own_precision != found.challenger_precision:
        loses_by_choice = 100 * (found.champion.photos - found.own.photos) / photos > limit
        sentence += (
            f" Jobs that ask for no precision get {_promise(found.own_precision)} by its own choice, which labels "
            f"{_percent(found.own.photos / photos)}."
        )
    return Finding(within or noise or not alike, sentence, (not alike and not within) or loses_by_choice)


def _precision(_: GateSettings, comparison: Comparison) -> Finding | None:
    """Labels that nobody looks at are right as often as promised, as far as chance can tell, or as often as before.

    The champion may have broken the same promise on these photos. Then a challenger that is no worse passes, and a
    person is told, since to refuse it would keep what is no better.
    """
    found = comparison.automation
    if found is None or found.challenger_precision is None or not found.everywhere.photos:
        return None
    own, before, promised = found.everywhere, found.champion, found.challenger_precision
    broken = own.right_95[1] < promised
    worse = before is not None and (not before.photos or _right(own) < _right(before))
    sentence = (
        f"Of {own.photos:,} labels without a person {own.wrong:,} are wrong: {_percent(_right(own))} are right "
        f"({_between_shares(own.right_95)}), {_percent(promised)} promised"
    )
    if before is not None:
        sentence += f"; before, {before.wrong:,} of {before.photos:,} were wrong"
    if broken:
        todo = ", and more often than before" if worse else ": look at these photos, or ask for more precision"
        sentence += f". The promise is broken{todo}"
    return Finding(not (broken and worse), f"{sentence}.", broken and not worse)


def _right(found: AutomaticLabels) -> float:
    return 1 - found.wrong / found.photos


def _promises(found: Automation) -> str:
    champion, challenger = _promise(found.champion_precision), _promise(found.challenger_precision)
    if champion == challenger:
        return f"both with {champion}"
    return f"the champion with {champion}, the challenger with {challenger}"


def _promise(precision: float | None) -> str:
    return "no promise, so that all go to review" if precision is None else f"precision {precision_text(precision)}"


def _size(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """The model is not much larger than the champion's."""
    before, after = comparison.champion_footprint, comparison.challenger_footprint
    if before is None:
        return None
    ratio, limit = after.bytes / before.bytes, settings.max_size_ratio
    told = f"The model has {after.bytes / _MB:.2f} MB, before {before.bytes / _MB:.2f}: {ratio:.2f} times as much"
    return Finding(ratio <= limit, f"{told}, {_at_most(ratio <= limit, f'{limit:.2f}')} as asked.")


def _speed(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """The model is not much slower than the champion's."""
    before, after = comparison.champion_footprint, comparison.challenger_footprint
    if before is None:
        return None
    ratio, limit = after.images_per_s / before.images_per_s, settings.min_speed_ratio
    told = f"On one thread {after.images_per_s:,.0f} images a second, before {before.images_per_s:,.0f}"
    return Finding(
        ratio >= limit, f"{told}: {ratio:.2f} times as many, {_at_least(ratio >= limit, f'{limit:.2f}')} as asked."
    )


def _absolute_size(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """The model is no larger than the absolute limit, if one was asked for."""
    megabytes, limit = comparison.challenger_footprint.bytes / _MB, settings.max_size_mb
    if limit is None:
        return None
    passed = megabytes <= limit
    return Finding(passed, f"The model has {megabytes:.2f} MB: {_at_most(passed, f'{limit:.2f}')} as asked.")


def _catalogue(settings: GateSettings, comparison: Comparison, found: CatalogueDiff | None) -> Finding | None:
    """No more of the catalogue's rows change than asked; if nobody can tell, the check fails."""
    limit = settings.max_changed_share
    if comparison.champion is None or (found is None and limit is None):
        return None
    if found is None or found.rows == 0 or found.failed > found.rows:
        told = "No rows of a catalogue were compared: name one in [catalogue]."
        if found is not None:
            tried = number_of(found.rows + found.failed, "row")
            told = f"Of {tried} of {found.source} only {found.rows:,} could be compared."
        if limit is not None:
            told += f" At most {_percent(limit)} of its rows may change, and nobody can tell."
        return Finding(limit is None, told)
    share, rows = found.changed_share, number_of(found.rows, "row")
    told = f"{found.changed:,} of {rows} of the catalogue would change: {_percent(share)}"
    passed, end = True, "; no limit was asked."
    if limit is not None:
        passed = share <= limit
        end = f": {_at_most(passed, _percent(limit))} as asked."
    return Finding(passed, f"{told} ({_between_shares(found.changed_share_95)}){end}")


_CHECKS: Final[dict[str, Callable[[GateSettings, Comparison], Finding | None]]] = {
    "test_photos": _test_photos,
    "accuracy": _accuracy,
    "interval": _interval,
    "recall": _recall,
    "new_classes": _new_classes,
    "vanished_classes": _vanished_classes,
    "min_accuracy": _min_accuracy,
    "calibration": _calibration,
    "coverage": _coverage,
    "precision": _precision,
    "size": _size,
    "speed": _speed,
    "absolute_size": _absolute_size,
}


def _at_most(kept: bool, limit: str) -> str:
    return f"{'at most' if kept else 'more than'} {limit}"


def _at_least(kept: bool, limit: str) -> str:
    return f"{'at least' if kept else 'less than'} {limit}"


def _signed(points: float) -> str:
    """With one digit, and a minus sign if it is negative; never ``−0.0``."""
    text = f"{points:.1f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) else text.lstrip("-")


def points_between(interval: Interval) -> str:
    """The ends of a 95% interval: ``95% −0.1 to 4.7``."""
    return f"95% {_signed(interval[0])} to {_signed(interval[1])}"


def _between_shares(interval: Interval) -> str:
    return points_between((100 * interval[0], 100 * interval[1]))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _listed(names: Sequence[str]) -> str:
    """Some names, and how many others there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest:,} others" if rest > 0 else "")
