"""The gate: a table of checks that a challenger must pass."""

import operator
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

from scipy.stats import norm

from models.decision import precision_text
from models.statistics.intervals import MISTRUST, Interval, difference_interval, proportion_interval
from models.text import number_of
from pages.text import between, percent
from trainer.retrain.config import GateSettings
from trainer.retrain.cycle_folder import (
    AutomaticLabels,
    CatalogueDiff,
    Check,
    Comparison,
    Footprint,
    GateVerdict,
    PairedAccuracy,
)

COARSE_POINTS: Final = 5.0
"""Warn if the smallest detectable difference exceeds this many points."""
_NO_WORSE: Final = 0.2
"""The probability that the interval check passes a challenger whose accuracy fell by exactly the limit.

A high value is safe, because the accuracy check also requires a better Brier score.
"""
_MOST_NAMES: Final = 5
_MB: Final = 1e6


@dataclass(frozen=True)
class Finding:
    """A check's result. ``details`` is part of the check's sentence, ``lead`` precedes it, and ``more`` follows."""

    figure: float | None
    limit: float | None
    passed: bool
    details: str
    doubtful: bool = False
    unsure: bool = False
    lead: str = ""
    more: str = ""


def judge(settings: GateSettings, comparison: Comparison, catalogue: CatalogueDiff | None) -> GateVerdict:
    """Test a challenger with all checks that apply. Without test photos the challenger fails."""
    checks = []
    for name, row in _TABLE.items():
        if finding := row.check(settings, comparison, catalogue):
            state = {key: getattr(finding, key) for key in ("figure", "limit", "passed", "doubtful", "unsure")}
            checks.append(Check(name=name, sentence=_sentence(row, finding), **state))
    return GateVerdict(checks=tuple(checks))


def _sentence(row: "_Row", finding: Finding) -> str:
    """For example ``Calibration error: +0.010 (0.030 → 0.040, 372 photos), at most the limit of +0.020.``."""
    figure = limit = ""
    if finding.figure is not None:
        figure = f": {row.show(finding.figure)}"
    if finding.figure is not None and finding.limit is not None:
        kept = _KEEPS[row.kept](finding.figure, finding.limit)
        limit = f", {row.kept if kept else row.broken} the limit of {row.show(finding.limit)}"
        limit += ", but this may be chance" if finding.passed and finding.unsure and not kept else ""
    text = f"{row.title}{figure} ({finding.details}){limit}."
    return " ".join(filter(None, (finding.lead, text, finding.more)))


def _test_photos(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding:
    photos, most = comparison.all_photos + comparison.unread, limits.max_unread_share
    limit = float(int(max(bool(most), most * photos)))
    details, more = f"{comparison.photos:,} of {number_of(photos, 'test photo')} can be compared", ""
    if not comparison.photos:
        more = "The challenger cannot be tested; add labelled photos."
    elif comparison.unread > limit:
        more = "Restore these photos, or allow more with max_unread_share."
    elif (smallest := comparison.smallest_points or 0.0) > COARSE_POINTS:
        more = f"With so few photos, accuracy can hardly show a difference below {smallest:.1f} points."
    return Finding(comparison.unread, limit, comparison.photos > 0 and comparison.unread <= limit, details, more=more)


def _accuracy(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    if comparison.points is None or comparison.champion_accuracy is None:
        return None
    gained, photos = comparison.points > limits.min_gain_points, number_of(comparison.photos, "photo")
    shares = f"{percent(comparison.champion_accuracy)} → {percent(comparison.challenger_accuracy)} of {photos}"
    details = f"{shares}, {comparison.won:,} won, {comparison.lost:,} lost"
    if comparison.brier is None:
        more = "One test photo is too few for Brier scores. Add test photos, and retrain."
        return Finding(comparison.points, limits.min_gain_points, False, details, more=more)
    z, chance = comparison.brier.z, float(norm.sf(comparison.brier.z))
    better = chance < MISTRUST
    quality = "are better" if better else "may be better by chance" if z > 0 else "are not better"
    more = (
        f"The challenger's probabilities {quality}: Brier score {comparison.brier.champion:.3f} → "
        f"{comparison.brier.challenger:.3f}."
    )
    odds = f"An equally good model would score this well in {percent(chance)} of tests"
    lead = (
        f"The gain may be chance. {odds}; the gate requires less than {percent(MISTRUST)}."
        if gained and not better
        else ""
    )
    if lead and z > 0:
        enough = float(f"{comparison.photos * (norm.isf(MISTRUST) / z) ** 2:.1e}")  # noise falls as 1/√n
        more += f" With about {enough:,.0f} test photos, this gain would pass."
    return Finding(comparison.points, limits.min_gain_points, gained and better, details, lead=lead, more=more)


def _interval(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    if comparison.points_95 is None:
        return None
    low = _bounds(comparison.points_95, _NO_WORSE)[0]
    photos = number_of(comparison.photos, "photo")
    details = f"{1 - _NO_WORSE:.0%} confidence; {points_between(comparison.points_95)}, {photos}"
    return Finding(low, -limits.max_loss_points, low >= -limits.max_loss_points, details)


def _bounds(interval: Interval, mistrust: float) -> Interval:
    """One-sided confidence bounds from a 95% interval. ``mistrust``: probability that a bound is wrong."""
    low, high = interval
    half = (high - low) / 2 * float(norm.isf(mistrust) / norm.isf(MISTRUST / 2))
    return (low + high) / 2 - half, (low + high) / 2 + half


def _recall(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    """Fails if a class clearly loses more recall than allowed.

    The result is doubtful if a class of the champion has no test photo. At most 5% of equally good challengers fail
    (Bonferroni's bound).
    """
    compared = [(name, one) for name, one in comparison.classes.items() if one.points_95 is not None]
    if not compared:
        return None
    mistrust, most = MISTRUST / len(compared), limits.max_class_loss_points
    losses = sorted(compared, key=lambda item: item[1].points or 0.0)
    large = [(name, one) for name, one in losses if -(one.points or 0.0) > most]
    proved = [(name, one) for name, one in large if _bounds(one.points_95 or (0.0, 0.0), mistrust)[1] < 0]
    details = "; ".join(_loss(name, one) for name, one in proved or losses[:1])
    worst = max(0.0, -(losses[0][1].points or 0.0))
    if proved:
        return Finding(worst, most, False, details)
    known = {name: one for name, one in comparison.classes.items() if name not in comparison.new_classes}
    blind = {name: one.photos for name, one in known.items() if _is_blind(one, most, mistrust)}
    size = f"a loss of {most:g} points" if most else "any loss"
    more = f"Too few photos to detect {size} for {_listed(blind)}." if blind else ""
    return Finding(worst, most, True, details, not all(blind.values()), bool(blind or large), more=more)


def _loss(name: str, one: PairedAccuracy) -> str:
    recall = f"{percent(one.champion or 0.0)} → {percent(one.challenger)}"
    return f"{name} {recall} of {number_of(one.photos, 'photo')}, {points_between(one.points_95 or (0.0, 0.0))}"


def _is_blind(accuracy: PairedAccuracy, most: float, mistrust: float) -> bool:
    """Whether there are too few photos to detect a loss of ``most`` points, or any loss if ``most`` is 0."""
    right = round((accuracy.champion or 0.0) * accuracy.photos)
    lost = min(right, accuracy.photos * most / 100) if most else right
    seen = difference_interval(0, lost, accuracy.photos) if accuracy.photos else (0.0, 0.0)
    return (right > 0 or not accuracy.photos) and _bounds(seen, mistrust)[1] >= 0


def _new_classes(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    new, limit = {name: comparison.classes[name] for name in comparison.new_classes}, limits.min_new_class_recall
    if not new:
        return None
    bad = {name: one for name, one in new.items() if limit and (not one.photos or one.challenger < limit)}
    details = "; ".join(f"{name} {_right_of(one.challenger, one.photos)}" for name, one in (bad or new).items())
    empty = [name for name, one in new.items() if not one.photos]
    more = (
        f"No test photo shows {_listed(empty)}: add labelled photos to the data, because reviewed photos are only for "
        "training. Or rename or drop the class in [classes]."
        if empty
        else ""
    )
    return Finding(min(one.challenger for one in new.values()), limit, not bad, details, more=more)


def _vanished_classes(_: GateSettings, comparison: Comparison, __: CatalogueDiff | None) -> Finding | None:
    if comparison.champion is None:
        return None
    if not comparison.vanished:
        return Finding(0, 0, True, "every class of the champion is present, or the settings rename or drop it")
    name = comparison.vanished[0]
    todo = f'rename = {{ "{name}" = "…" }} or drop = ["{name}"] in [classes]'
    more = f"Restore the photos, or rename or drop each class, with {todo}."
    return Finding(len(comparison.vanished), 0, False, _listed(comparison.vanished), more=more)


def _min_accuracy(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    """The result is doubtful if the model may be no better than always guessing the most frequent class."""
    photos, accuracy, limit = comparison.all_photos, comparison.challenger_all, limits.min_accuracy
    if comparison.champion is not None and not limit:
        return None
    shares = ((one.photos / max(1, photos), name) for name, one in comparison.classes.items())
    share, commonest = max(shares, default=(0.0, ""))
    doubtful = 0 < share >= proportion_interval(round(accuracy * photos), photos)[0]
    guess = f"The challenger may be no better than always guessing {commonest} ({percent(share)}): "
    todo = "add photos." if limit else "set min_accuracy, or add photos."
    more = guess + todo if doubtful else ""
    return Finding(accuracy, limit, accuracy >= limit, _right_of(accuracy, photos), doubtful, more=more)


def _calibration(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    error, limit = comparison.calibration, limits.max_calibration_loss
    if error is None:
        return None
    grown, (low, high) = error.challenger - error.champion, error.difference_95
    noise = grown > limit and low <= 0
    ends = f"95% {_minus(f'{low:.3f}')} to {_minus(f'{high:.3f}')}"
    details = f"{error.champion:.3f} → {error.challenger:.3f}, {ends}, {number_of(comparison.photos, 'photo')}"
    return Finding(grown, limit, grown <= limit or noise, details, unsure=noise)


def _coverage(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    """Fails if clearly more photos go to review than before.

    If the challenger has another precision, a larger loss than allowed makes the result doubtful. Thresholds from few
    photos vary by chance. The check therefore also passes if the challenger makes no more errors than the champion in
    the same number of labels.
    """
    automation, photos, most = comparison.automation, comparison.photos, limits.max_coverage_loss_points
    if automation is None:
        return None
    champion, promised = automation.champion, automation.challenger_precision
    after = f"{percent(automation.challenger.photos / photos)} of {number_of(photos, 'photo')}"
    if champion is None or automation.points is None or automation.points_95 is None:
        return Finding(None, None, True, f"{after}, with {_promise(promised)}", promised is None)
    within, noise = -automation.points <= most, automation.points_95[1] >= 0
    same_promise = promised in {None, automation.champion_precision}
    refused, doubtful = same_promise and not within and not noise, not same_promise and not within
    more = ""
    if refused and promised is not None and automation.surest is not None:
        refused = automation.surest.wrong > champion.wrong
        doubtful = not refused
        quality = (
            "the challenger is worse" if refused else "the challenger is no worse, but its thresholds are too high"
        )
        wrong = f"{automation.surest.wrong:,} are wrong; of the champion's, {champion.wrong:,} are wrong"
        surest = f"Of the challenger's {champion.photos:,} most confident labels"
        more = f"{surest}, {wrong}: {quality}."
    if automation.own_precision != promised:
        doubtful |= 100 * (champion.photos - automation.own.photos) / photos > most
        labelled = f": {percent(automation.own.photos / photos)}" if automation.own_precision is not None else ""
        more = f"{more} Jobs without --precision get {_promise(automation.own_precision)}{labelled}.".lstrip()
    promises = f"{_promise(automation.champion_precision)} → {_promise(promised)}"
    details = f"{percent(champion.photos / photos)} → {after}, {points_between(automation.points_95)}; {promises}"
    return Finding(automation.points, -most, not refused, details, doubtful, not within and noise, more=more)


def _precision(_: GateSettings, comparison: Comparison, __: CatalogueDiff | None) -> Finding | None:
    """Fails if labels without review are clearly less precise than promised, and less precise than the champion's."""
    automation = comparison.automation
    if automation is None or automation.challenger_precision is None or not automation.everywhere.photos:
        return None
    own, before, promised = automation.everywhere, automation.champion, automation.challenger_precision
    broken = own.right_95[1] < promised
    worse = before is not None and (not before.photos or _right(own) < _right(before))
    details = f"{own.wrong:,} of {own.photos:,} wrong, 95% {between(own.right_95)}"
    details += f"; before, {before.wrong:,} of {before.photos:,}" if before is not None else ""
    todo = (
        "and labels are wrong more often than before." if worse else "so check these photos, or use a higher precision."
    )
    more = f"The precision is not reached, {todo}" if broken else ""
    passed, doubtful = not (broken and worse), broken and not worse
    return Finding(_right(own), promised, passed, details, doubtful, unsure=_right(own) < promised, more=more)


def _size(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    before, after, limit = comparison.champion_footprint, comparison.challenger_footprint, limits.max_size_ratio
    if before is None:
        return None
    details = f"{before.compared_bytes / _MB:.2f} → {after.compared_bytes / _MB:.2f} MB"
    ratio = after.compared_bytes / before.compared_bytes
    return Finding(ratio, limit, ratio <= limit, details, more=_why_float32(before, after))


def _speed(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    before, after, limit = comparison.champion_footprint, comparison.challenger_footprint, limits.min_speed_ratio
    if before is None:
        return None
    details = f"{before.images_per_s:,.0f} → {after.images_per_s:,.0f} images per second on one thread"
    ratio = after.images_per_s / before.images_per_s
    return Finding(ratio, limit, ratio >= limit, details, more=_why_float32(before, after))


def _why_float32(champion: Footprint, challenger: Footprint) -> str:
    for name, other in (("challenger", champion), ("champion", challenger)):
        if other.compared_bytes != other.default_bytes:
            slower = ", so labelling may become slower" if name == "challenger" else ""
            return f"Compared in float32, because the {name}'s default variant is not int8{slower}."
    return ""


def _absolute_size(limits: GateSettings, comparison: Comparison, _: CatalogueDiff | None) -> Finding | None:
    size, limit = comparison.challenger_footprint.default_bytes / _MB, limits.max_size_mb
    return None if limit is None else Finding(size, limit, size <= limit, "the challenger's default variant")


def _catalogue(limits: GateSettings, comparison: Comparison, diff: CatalogueDiff | None) -> Finding | None:
    limit = limits.max_changed_share
    if comparison.champion is None or limit is None:
        return None
    if diff is None or diff.rows == 0 or diff.failed > diff.rows:
        details = "no row was compared: set a catalogue in [catalogue]"
        if diff is not None:
            drawn = number_of(diff.rows + diff.failed + diff.answered, "row")
            details = f"only {diff.rows:,} of {drawn} could be compared"
            details += f"; {diff.answered:,} were already reviewed" if diff.answered else ""
        return Finding(None, limit, False, details)
    details = f"{diff.changed:,} of {number_of(diff.rows, 'row')}, 95% {between(diff.changed_share_95)}"
    return Finding(diff.changed_share, limit, diff.changed_share <= limit, details)


def _right(labels: AutomaticLabels) -> float:
    return 1 - labels.wrong / labels.photos


def _promise(precision: float | None) -> str:
    return "no promise: every photo goes to review" if precision is None else f"precision {precision_text(precision)}"


def _right_of(share: float, photos: int) -> str:
    right = round(share * photos)
    return f"{right:,} of {number_of(photos, 'photo')}, 95% {between(proportion_interval(right, photos))}"


def _minus(number: str) -> str:
    return number.replace("-", "−")


def _points(points: float) -> str:
    return f"{_minus(f'{points:+z.1f}')} points"


def points_between(interval: Interval) -> str:
    """The ends of a 95% interval: ``95% −0.1 to 4.7``."""
    return f"95% {_minus(f'{interval[0]:z.1f}')} to {_minus(f'{interval[1]:z.1f}')}"


def _listed(names: Collection[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(list(names)[:_MOST_NAMES]) + (f" and {rest:,} others" if rest > 0 else "")


class _Row(NamedTuple):
    check: Callable[[GateSettings, Comparison, CatalogueDiff | None], Finding | None]
    title: str
    show: Callable[[float], str]
    kept: str
    broken: str


_count, _ratio = "{:,.0f}".format, "{:.2f}".format
_KEEPS: Final = {"at most": operator.le, "at least": operator.ge, "more than": operator.gt}
_AT_MOST: Final = ("at most", "more than")
_AT_LEAST: Final = ("at least", "below")
_TABLE: Final = {
    "test_photos": _Row(_test_photos, "Test photos that are gone, changed or unreadable", _count, *_AT_MOST),
    "accuracy": _Row(_accuracy, "Accuracy", _points, "more than", "not more than"),
    "interval": _Row(_interval, "Lower bound of the accuracy gain on your photos", _points, *_AT_LEAST),
    "recall": _Row(_recall, "Largest recall loss of a class", "{:.1f} points".format, *_AT_MOST),
    "new_classes": _Row(_new_classes, "Lowest recall of a new class", percent, *_AT_LEAST),
    "vanished_classes": _Row(_vanished_classes, "Classes that the challenger lacks", _count, *_AT_MOST),
    "min_accuracy": _Row(_min_accuracy, "Accuracy on all test photos", percent, *_AT_LEAST),
    "calibration": _Row(_calibration, "Calibration error", lambda error: _minus(f"{error:+.3f}"), *_AT_MOST),
    "coverage": _Row(_coverage, "Photos labelled without review", _points, *_AT_LEAST),
    "precision": _Row(_precision, "Right labels without review", percent, *_AT_LEAST),
    "size": _Row(_size, "Size, as a multiple of the champion's", _ratio, *_AT_MOST),
    "speed": _Row(_speed, "Speed, as a multiple of the champion's", _ratio, *_AT_LEAST),
    "absolute_size": _Row(_absolute_size, "Size in megabytes", _ratio, *_AT_MOST),
    "catalogue": _Row(_catalogue, "Rows of the catalogue whose label changes", percent, *_AT_MOST),
}  # fmt: skip
