"""Whether a challenger is better, as far as the test photos can tell."""

import math
from collections.abc import Iterator
from typing import Final

from models.statistics.intervals import proportion_interval
from models.text import number_of
from trainer.retrain.config import GateSettings
from trainer.retrain.phrases import between, moved, percent, signed
from trainer.retrain.records import Check, Comparison

__all__ = ["accuracy_checks", "check_calibration", "check_min_accuracy", "check_test_photos"]

_COARSE_POINTS: Final = 5.0
"""A test that finds no smaller difference than this is called a small one."""


def check_test_photos(settings: GateSettings, comparison: Comparison) -> Check:
    """There is something to judge by, and it is the test that was frozen."""
    photos, unread = comparison.all_photos, comparison.unread
    if not comparison.photos:
        of = "" if comparison.champion is None or not photos else " of classes that both models know"
        told = f"There are no test photos{of}, so nothing can be said of the challenger; add labelled photos."
        return Check(name="test_photos", passed=False, sentence=told + _unread(unread))
    told = f"Judged on {comparison.photos:,} test photos."
    if comparison.smallest_points is not None and comparison.smallest_points > _COARSE_POINTS:
        smallest = signed(comparison.smallest_points)
        told += f" These are few: a difference of less than {smallest} points is mostly missed."
    most = settings.max_unread_share
    passed = unread <= max(bool(most), most * (photos + unread))  # of few photos one may always be lost
    lost = f"Of {photos + unread:,} test photos {unread:,} are gone, changed or unreadable by now, and at most "
    todo = f"{percent(most)} may be: bring them back, or allow more with max_unread_share."
    return Check(
        name="test_photos", passed=passed, sentence=told + _unread(unread) if passed else f"{lost}{todo} {told}"
    )


def _unread(unread: int) -> str:
    others = "1 other is" if unread == 1 else f"{unread:,} others are"
    return f" {others} gone, changed or unreadable by now." if unread else ""


def accuracy_checks(settings: GateSettings, comparison: Comparison) -> Iterator[Check]:
    """The difference of accuracies, and how far below nothing its interval reaches."""
    points, interval, before = comparison.points, comparison.points_95, comparison.champion_accuracy
    if points is None or interval is None or before is None:
        return
    gained = points > settings.min_gain_points
    yield Check(
        name="accuracy",
        passed=gained,
        sentence=(
            f"Accuracy {moved(points)}, from {percent(before)} to {percent(comparison.challenger_accuracy)} of "
            f"{number_of(comparison.photos, 'photo')} ({comparison.won:,} won, {comparison.lost:,} lost): "
            f"{'more' if gained else 'not more'} than {signed(settings.min_gain_points)} as asked."
        ),
    )
    limit = -settings.max_loss_points
    passed = interval[0] >= limit
    end = f"above {signed(limit)} as asked." if passed else f"the interval reaches below {signed(limit)}."
    yield Check(
        name="interval",
        passed=passed,
        sentence=(
            f"Accuracy {moved(points)} ({between(interval)}, {number_of(comparison.photos, 'photo')}; this test would "
            f"find a difference of {signed(comparison.smallest_points or 0.0)}): {end}"
            f"{'' if passed else _what_would_settle(settings, comparison)}"
        ),
    )


def _what_would_settle(settings: GateSettings, comparison: Comparison) -> str:
    """How many photos would narrow the interval enough, were the difference to stay: its width goes as 1/√n."""
    points, interval = comparison.points or 0.0, comparison.points_95 or (0.0, 0.0)
    room = points + settings.max_loss_points
    if points <= settings.min_gain_points or room <= 0:
        return ""
    photos = comparison.photos * ((interval[1] - interval[0]) / 2 / room) ** 2
    digits = max(0, math.ceil(math.log10(photos)) - 2)
    rounded = math.ceil(photos / 10**digits) * 10**digits
    return f" Too few test photos to be sure: a rise like this would pass with some {max(rounded, 1):,}."


def check_min_accuracy(settings: GateSettings, comparison: Comparison) -> Check | None:
    """The absolute limit, on all test photos, those of new classes too; of a first model always told."""
    if comparison.champion is not None and not settings.min_accuracy:
        return None
    photos, accuracy = comparison.all_photos, comparison.challenger_all
    low, high = proportion_interval(round(accuracy * photos), photos)
    passed = accuracy >= settings.min_accuracy
    said = f"Right on {percent(accuracy)} of all {photos:,} test photos ({between((100 * low, 100 * high))})"
    limit = f"{'at least' if passed else 'less than'} {percent(settings.min_accuracy)} as asked."
    doubt = _no_better_than_one_word(settings, comparison, low)
    return Check(name="min_accuracy", passed=passed, sentence=f"{said}: {limit}{doubt}", doubtful=bool(doubt))


def _no_better_than_one_word(settings: GateSettings, comparison: Comparison, low: float) -> str:
    """What is to be said where the accuracy may be that of always giving the commonest class of the test photos."""
    photos = comparison.all_photos
    if not photos or not comparison.classes:
        return ""
    commonest = max(comparison.classes, key=lambda name: comparison.classes[name].photos)
    share = comparison.classes[commonest].photos / photos
    if low > share:
        return ""
    todo = "bring more photos" if settings.min_accuracy else "set min_accuracy, bring more photos"
    return (
        f" It is no better, as far as {photos:,} photos can tell, than always saying {commonest} "
        f"({percent(share)}): {todo}."
    )


def check_calibration(settings: GateSettings, comparison: Comparison) -> Check | None:
    """Confidence is about as far from the truth as it was."""
    found = comparison.calibration
    if found is None:
        return None
    low, high = found.difference_95
    grown, limit = found.challenger - found.champion, settings.max_calibration_loss
    within = grown <= limit
    noise = not within and low <= 0
    end = f"{'at most' if within else 'more than'} {limit:.3f}"
    sentence = (
        f"Calibration error went from {found.champion:.3f} to {found.challenger:.3f} (a difference of {_small(grown)}, "
        f"95% {_small(low)} to {_small(high)}, {number_of(comparison.photos, 'photo')}): {end}"
        f"{' as asked' if within else ''}{', which may be noise' if noise else ''}."
    )
    return Check(name="calibration", passed=within or noise, sentence=sentence)


def _small(share: float) -> str:
    text = f"{share:.3f}"
    return f"−{text[1:]}" if text.startswith("-") else text
