"""The gate: what a challenger must keep to before it becomes the champion."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from scipy.stats import norm

from models.decision import precision_text
from models.statistics.intervals import MISTRUST, Interval, difference_interval, proportion_interval
from models.text import number_of
from trainer.retrain.config import GateSettings
from trainer.retrain.records import Automatic, Automation, CatalogueDiff, Check, ClassComparison, Comparison, Verdict

__all__ = [
    "accuracy_checks",
    "between",
    "check_calibration",
    "check_catalogue",
    "check_coverage",
    "check_min_accuracy",
    "check_new_classes",
    "check_precision",
    "check_recall",
    "check_test_photos",
    "check_vanished_classes",
    "cost_checks",
    "judge",
    "listed",
    "moved",
    "percent",
    "signed",
]


_NAMED: Final = 5


def signed(points: float) -> str:
    """With one digit, and a minus sign where it is negative; never a negative nothing."""
    text = f"{points:.1f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) else text.lstrip("-")


def between(interval: Interval) -> str:
    """The ends of a 95% interval of points."""
    return f"95% {signed(interval[0])} to {signed(interval[1])}"


def moved(points: float) -> str:
    """Which way a figure went, and how far."""
    if not points:
        return "stayed the same"
    return f"{'rose' if points > 0 else 'fell'} by {abs(points):.1f} points"


def percent(share: float) -> str:
    """A share in hundredths, with one digit."""
    return f"{100 * share:.1f}%"


def listed(names: Sequence[str]) -> str:
    """Some names, and how many others there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest:,} others" if rest > 0 else "")


_MB: Final = 1e6


def cost_checks(settings: GateSettings, comparison: Comparison) -> Iterator[Check]:
    """Size and speed against the champion's, and the absolute limit of size where there is one."""
    before, after = comparison.champion_footprint, comparison.challenger_footprint
    megabytes = after.bytes / _MB
    if before is not None:
        ratio = after.bytes / before.bytes
        passed = ratio <= settings.max_size_ratio
        told = f"The model has {megabytes:.2f} MB, before {before.bytes / _MB:.2f}: {ratio:.2f} times as much"
        limit = f"{'at most' if passed else 'more than'} {settings.max_size_ratio:.2f} as asked."
        yield Check(name="size", passed=passed, sentence=f"{told}, {limit}")
        ratio = after.images_per_s / before.images_per_s
        passed = ratio >= settings.min_speed_ratio
        told = f"On one thread {after.images_per_s:,.0f} images a second, before {before.images_per_s:,.0f}"
        limit = f"{'at least' if passed else 'less than'} {settings.min_speed_ratio:.2f} as asked."
        yield Check(name="speed", passed=passed, sentence=f"{told}: {ratio:.2f} times as many, {limit}")
    if settings.max_size_mb is not None:
        passed = megabytes <= settings.max_size_mb
        limit = f"{'at most' if passed else 'more than'} {settings.max_size_mb:.2f} as asked."
        yield Check(name="absolute_size", passed=passed, sentence=f"The model has {megabytes:.2f} MB: {limit}")


def check_catalogue(settings: GateSettings, comparison: Comparison, catalogue: CatalogueDiff | None) -> Check | None:
    """No more of the catalogue's rows change than asked; where nobody could tell, that is a refusal."""
    limit = settings.max_changed_share
    if comparison.champion is None or (catalogue is None and limit is None):
        return None
    if catalogue is None or catalogue.rows == 0 or catalogue.failed > catalogue.rows:
        asked = "" if limit is None else f" At most {percent(limit)} of its rows may change, and nobody can tell."
        return Check(name="catalogue", passed=limit is None, sentence=f"{_uncompared(catalogue)}{asked}")
    share, (low, high) = catalogue.changed_share, catalogue.changed_share_95
    passed = limit is None or share <= limit
    told = (
        f"{catalogue.changed:,} of {number_of(catalogue.rows, 'row')} of the catalogue would change: {percent(share)}"
    )
    end = (
        "; no limit was asked."
        if limit is None
        else f": {'at most' if passed else 'more than'} {percent(limit)} as asked."
    )
    return Check(name="catalogue", passed=passed, sentence=f"{told} ({between((100 * low, 100 * high))}){end}")


def _uncompared(catalogue: CatalogueDiff | None) -> str:
    if catalogue is None:
        return "No rows of a catalogue were compared: name one in [catalogue]."
    tried = catalogue.rows + catalogue.failed
    return f"Of {number_of(tried, 'row')} of {catalogue.source} only {catalogue.rows:,} could be compared."


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


def check_coverage(settings: GateSettings, comparison: Comparison) -> Check | None:
    """Not many more photos than before go to people, where both promise the same, or the challenger nothing.

    Who promises more sends more to people: that is told, and no refusal. Who promises nothing sends all.
    """
    found = comparison.automation
    if found is None:
        return None
    if found.champion is None or found.points is None or found.points_95 is None:
        return _first_coverage(found, comparison.photos)
    photos, limit = comparison.photos, settings.max_coverage_loss_points
    alike = found.challenger_precision in {None, found.champion_precision}
    within = -found.points <= limit
    noise = not within and found.points_95[1] >= 0
    sentence = (
        f"Labels {percent(found.challenger.photos / photos)} of {number_of(photos, 'photo')} without a person, before "
        f"{percent(found.champion.photos / photos)} (a difference of {signed(found.points)} points, "
        f"{between(found.points_95)}; {_promises(found.champion_precision, found.challenger_precision)}): "
        f"{_lost(found.points, limit)}{', which may be noise' if noise else ''}."
    )
    own_loss = 100 * (found.champion.photos - found.own.photos) / photos
    if found.own_precision != found.challenger_precision:
        sentence += (
            f" Jobs that ask for no precision get {_precision(found.own_precision)} by its own choice, which labels "
            f"{percent(found.own.photos / photos)}."
        )
    return Check(
        name="coverage",
        passed=within or noise or not alike,
        sentence=sentence,
        doubtful=(not alike and not within) or (own_loss > limit and found.own_precision != found.challenger_precision),
    )


def _first_coverage(found: Automation, photos: int) -> Check:
    """A first model may send any share of the photos to people; the check is doubtful if it sends them all."""
    labels = f"Labels {percent(found.challenger.photos / photos)} of {photos:,} photos without a person, with "
    promise = _precision(found.challenger_precision)
    return Check(
        name="coverage",
        passed=True,
        sentence=f"{labels}{promise}.",
        doubtful=found.challenger_precision is None,
    )


def check_precision(comparison: Comparison) -> Check | None:
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
        f"Of {own.photos:,} labels without a person {own.wrong:,} are wrong: {percent(_right(own))} are right "
        f"({between((100 * own.right_95[0], 100 * own.right_95[1]))}), {percent(promised)} promised"
    )
    if before is not None:
        sentence += f"; before, {before.wrong:,} of {before.photos:,} were wrong"
    if broken and worse:
        sentence += ". The promise is broken, and more often than before"
    elif broken:
        sentence += ". The promise is broken: look at these photos, or ask for more precision"
    return Check(
        name="precision", passed=not (broken and worse), sentence=f"{sentence}.", doubtful=broken and not worse
    )


def _lost(points: float, limit: float) -> str:
    if points >= 0:
        return "nothing is lost"
    within = -points <= limit
    return f"{'at most' if within else 'more than'} {signed(limit)} points are lost{' as asked' if within else ''}"


def _right(found: Automatic) -> float:
    return 1 - found.wrong / found.photos


def _promises(champion: float | None, challenger: float | None) -> str:
    if champion == challenger:
        return f"both with {_precision(champion)}"
    return f"the champion with {_precision(champion)}, the challenger with {_precision(challenger)}"


def _precision(precision: float | None) -> str:
    return "no promise, so that all go to review" if precision is None else f"precision {precision_text(precision)}"


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


def judge(settings: GateSettings, comparison: Comparison, catalogue: CatalogueDiff | None) -> Verdict:
    """Judge a challenger. Pure: the same figures and limits give the same verdict.

    Args:
        settings: the limits; to loosen one never makes a check fail.
        comparison: with the champion, or of a first model, which keeps to the absolute limits alone.
        catalogue: what would change there; none where nobody looked.

    Returns:
        A check for each thing that can be judged, each with a sentence that holds the figures. Without test photos
        nothing passes.
    """
    checks: tuple[Check | None, ...] = (
        check_test_photos(settings, comparison),
        *accuracy_checks(settings, comparison),
        check_recall(settings, comparison),
        check_new_classes(settings, comparison),
        check_vanished_classes(comparison),
        check_min_accuracy(settings, comparison),
        check_calibration(settings, comparison),
        check_coverage(settings, comparison),
        check_precision(comparison),
        *cost_checks(settings, comparison),
        check_catalogue(settings, comparison, catalogue),
    )
    return Verdict(checks=tuple(check for check in checks if check is not None))
