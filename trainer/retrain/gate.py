"""The gate: checks that a challenger must pass to become the champion. Figures and limits in, sentences out."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from scipy.stats import norm

from models.decision import precision_text
from models.statistics.intervals import MISTRUST, Interval, difference_interval, proportion_interval
from models.text import number_of
from pages.text import between, percent
from trainer.retrain.config import GateSettings
from trainer.retrain.records import AutomaticLabels, CatalogueDiff, Check, Comparison, PairedAccuracy, Verdict

COARSE_POINTS: Final = 5.0
"""Points; a test that could not find a smaller difference than this is called small."""
_NO_WORSE: Final = 0.2
"""How often accuracy may have fallen by more than asked although `interval` passes, of challengers on that limit.

It is a second look: `accuracy` has shown already that the probabilities are better.
"""
_NAMED: Final = 5
_MB: Final = 1e6


class Finding(NamedTuple):
    """What a check finds; see :class:`trainer.retrain.records.Check`."""

    passed: bool
    sentence: str
    doubtful: bool = False
    unsure: bool = False


def judge(settings: GateSettings, comparison: Comparison, catalogue: CatalogueDiff | None) -> Verdict:
    """Judge a challenger. Pure: the same figures and limits give the same verdict.

    Args:
        settings: the limits; to loosen one never makes a check fail.
        comparison: with the champion, or of a first model, to which only the absolute limits apply.
        catalogue: what would change in the catalogue, if it was compared.

    Returns:
        A check for each thing that can be judged. Without test photos nothing passes.
    """
    judged = {name: check(settings, comparison) for name, check in _CHECKS.items()} | _budgets(settings, comparison)
    judged["catalogue"] = _catalogue(settings, comparison, catalogue)
    return Verdict(checks=tuple(Check(name=name, **said._asdict()) for name, said in judged.items() if said))


def _test_photos(settings: GateSettings, comparison: Comparison) -> Finding:
    """There are test photos, and they are those of the frozen test split."""
    photos, unread, most = comparison.all_photos, comparison.unread, settings.max_unread_share
    gone = f" {number_of(unread, 'other is', 'others are')} gone, changed or unreadable by now." if unread else ""
    if not comparison.photos:
        of = "" if comparison.champion is None or not photos else " of classes that both models know"
        told = f"There are no test photos{of}, so nothing can be said of the challenger; add labelled photos.{gone}"
        return Finding(False, told)
    told = f"Judged on {comparison.photos:,} test photos."
    if (smallest := comparison.smallest_points or 0.0) > COARSE_POINTS:
        told += f" These are few: accuracy alone would mostly show no difference below {_signed(smallest)} points."
    if unread <= max(bool(most), most * (photos + unread)):  # of few photos one may always be lost
        return Finding(True, told + gone)
    lost = f"Of {photos + unread:,} test photos {unread:,} are gone, changed or unreadable by now, and at most "
    todo = f"{percent(most)} may be: bring them back, or allow more with max_unread_share."
    return Finding(False, f"{lost}{todo} {told}")


def _accuracy(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """It is right more often by more than asked, and its probabilities are better beyond chance.

    Of equal challengers one in twenty has a Brier score that is better by so much. Accuracy alone would need more
    photos to show a gain: it looks only at those that one model labels right and the other wrong.
    """
    points, before, brier = comparison.points, comparison.champion_accuracy, comparison.brier
    if points is None or before is None:
        return None
    if brier is None:
        return Finding(False, "There are no Brier scores: one test photo is too few. Add some, and retrain.")
    gained, chance = points > settings.min_gain_points, float(norm.sf(brier.z))
    better = chance < MISTRUST
    moved = f"{'rose' if points > 0 else 'fell'} by {abs(points):.1f} points" if points else "stayed the same"
    odds = (
        f"A challenger that is no better scores as well in {percent(chance)} of such tests; less than "
        f"{percent(MISTRUST)} is asked."
    )
    told = (
        f"Accuracy {moved}, from {percent(before)} to {percent(comparison.challenger_accuracy)} of "
        f"{number_of(comparison.photos, 'photo')} ({comparison.won:,} won, {comparison.lost:,} lost): "
        f"{'more' if gained else 'not more'} than {_signed(settings.min_gain_points)} as asked. Its probabilities "
        f"{'are better' if better else 'may be better by chance' if brier.z > 0 else 'are not better'}: Brier score "
        f"{brier.challenger:.3f}, before {brier.champion:.3f} (lower is better)."
    )
    told = f"{told} {odds}" if better or not gained else f"Not beyond chance. {odds} {told}"  # what decides comes first
    if gained and not better and brier.z > 0:
        enough = comparison.photos * (norm.isf(MISTRUST) / brier.z) ** 2  # noise goes as 1/√n
        told += f" Too few test photos to be sure: a gain like this would pass with some {float(f'{enough:.1e}'):,.0f}."
    return Finding(gained and better, told)


def _interval(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """Accuracy has not fallen by more than asked, with 80% confidence."""
    interval, limit = comparison.points_95, -settings.max_loss_points
    if interval is None:
        return None
    low = _bounds(interval, _NO_WORSE)[0]
    moved = f"have fallen by {_signed(-low)} points" if low < 0 else f"have risen by only {_signed(low)} points"
    told = (
        f"On all your photos accuracy may {moved} ({1 - _NO_WORSE:.0%} confidence; {points_between(interval)}, "
        f"{number_of(comparison.photos, 'photo')}): a fall of {_signed(-limit)} at most is allowed."
    )
    return Finding(low >= limit, told)


def _bounds(interval: Interval, mistrust: float) -> Interval:
    """One-sided bounds, wrong with this probability each, from a 95% interval."""
    low, high = interval
    half = (high - low) / 2 * float(norm.isf(mistrust) / norm.isf(MISTRUST / 2))
    return (low + high) / 2 - half, (low + high) / 2 + half


def _recall(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """No class loses more than asked beyond noise.

    Many classes are many chances to be unlucky: one challenger in twenty, at most, that is as good as the champion on
    every class is refused for one of them (Bonferroni's bound). So the more classes, the larger a loss must be to be
    seen.
    """
    compared = {name: found for name, found in comparison.classes.items() if found.points_95 is not None}
    if not compared:
        return None
    mistrust, most = MISTRUST / len(compared), settings.max_class_loss_points
    order = sorted(compared.items(), key=lambda item: item[1].points or 0.0)
    large = [(name, found) for name, found in order if -(found.points or 0.0) > most]
    lost = [_loss(name, found) for name, found in large if _bounds(found.points_95 or (0.0, 0.0), mistrust)[1] < 0]
    limit = f"{_signed(most)} points of recall beyond noise"
    if lost:
        return Finding(False, f"More than {limit} is lost: {'; '.join(lost)}.")
    none = f"None of the {len(compared):,} classes" if len(compared) > 1 else "The one class has not"
    told = f"{none} lost more than {limit}; the largest loss: {_loss(*order[0])}."
    known = {name: found for name, found in comparison.classes.items() if name not in comparison.new_classes}
    blind = {name: found.photos for name, found in known.items() if _is_blind(found, most, mistrust)}
    if blind:
        few, many = min(blind.values()), max(blind.values())
        photos = number_of(many, "photo is", "photos are") if few == many else f"{few:,} to {many:,} photos are"
        told += (
            f" {photos} too few to see a loss of {f'{most:g} points' if most else 'any size'}: {_listed(list(blind))}."
        )
    return Finding(True, told, not all(blind.values()), unsure=bool(blind or large))


def _is_blind(found: PairedAccuracy, most: float, mistrust: float) -> bool:
    """Whether the test is too small to see a loss of ``most`` points, though no photo is won; of any size, if 0."""
    hits = round((found.champion or 0.0) * found.photos)
    lost = min(hits, found.photos * most / 100) if most else hits
    seen = difference_interval(0, lost, found.photos) if found.photos else (0.0, 0.0)
    return (hits > 0 or not found.photos) and _bounds(seen, mistrust)[1] >= 0


def _loss(name: str, found: PairedAccuracy) -> str:
    before, after = percent(found.champion or 0.0), percent(found.challenger)
    points, interval = _signed(found.points or 0.0), points_between(found.points_95 or (0.0, 0.0))
    return f"{name} {points} points, from {before} to {after} ({interval}, {number_of(found.photos, 'photo')})"


def _new_classes(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """Each class that is new to the champion has enough recall, measured on test photos."""
    new, limit = {name: comparison.classes[name] for name in comparison.new_classes}, settings.min_new_class_recall
    if not new:
        return None
    bad = {name: found for name, found in new.items() if limit and (not found.photos or found.challenger < limit)}
    told = "; ".join(_new_class(name, found) for name, found in (bad or new).items())
    return Finding(not bad, f"Recall of new classes is {_at_least(not bad, percent(limit))} as asked: {told}.")


def _new_class(name: str, found: PairedAccuracy) -> str:
    if not found.photos:
        return f"{name} has no test photo; add some photos of it"
    hits, ends = round(found.challenger * found.photos), _right_between(found.challenger, found.photos)
    return f"{name} {percent(found.challenger)} ({hits:,} of {number_of(found.photos, 'photo')}, {ends})"


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
    """The absolute limit, on all test photos, those of new classes too; of a first model always told.

    It is doubtful if always naming the commonest class of the test photos may be as accurate.
    """
    photos, accuracy = comparison.all_photos, comparison.challenger_all
    if comparison.champion is not None and not settings.min_accuracy:
        return None
    passed = accuracy >= settings.min_accuracy
    told = (
        f"Right on {percent(accuracy)} of all {photos:,} test photos ({_right_between(accuracy, photos)}): "
        f"{_at_least(passed, percent(settings.min_accuracy))} as asked."
    )
    shares = ((one.photos / max(1, photos), name) for name, one in comparison.classes.items())
    share, commonest = max(shares, default=(0.0, ""))
    doubtful = share > 0 and proportion_interval(round(accuracy * photos), photos)[0] <= share
    if doubtful:
        todo = "bring more photos" if settings.min_accuracy else "set min_accuracy, bring more photos"
        told += (
            f" It is no better, as far as {photos:,} photos can tell, than always saying {commonest} "
            f"({percent(share)}): {todo}."
        )
    return Finding(passed, told, doubtful)


def _calibration(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """The calibration error has not grown too much."""
    found = comparison.calibration
    if found is None:
        return None
    grown, limit = found.challenger - found.champion, settings.max_calibration_loss
    within = grown <= limit
    noise = not within and found.difference_95[0] <= 0
    difference, low, high = (f"{share:.3f}".replace("-", "−") for share in (grown, *found.difference_95))
    told = (
        f"Calibration error went from {found.champion:.3f} to {found.challenger:.3f} (a difference of {difference}, "
        f"95% {low} to {high}, {number_of(comparison.photos, 'photo')}): {_beyond(within, noise, f'{limit:.3f}')}."
    )
    return Finding(within or noise, told, unsure=noise)


def _coverage(settings: GateSettings, comparison: Comparison) -> Finding | None:
    """Not many more photos go to review than before, if both promise the same, or the challenger nothing.

    Thresholds that rest on few photos vary by themselves. So a loss is that of the model only if the challenger, asked
    to label as many photos as the champion does, is wrong more often. A model that promises more sends more to review:
    that is shown and not refused. One that promises nothing sends all. A first model may send any share; the check is
    doubtful if it sends them all.
    """
    found, photos, limit = comparison.automation, comparison.photos, settings.max_coverage_loss_points
    if found is None:
        return None
    told = f"Labels {percent(found.challenger.photos / photos)} of {number_of(photos, 'photo')} without a person"
    champion, promised = found.champion, found.challenger_precision
    if champion is None or found.points is None or found.points_95 is None:
        return Finding(True, f"{told}, with {_promise(promised)}.", promised is None)
    within, noise = -found.points <= limit, found.points_95[1] >= 0
    before, after = _promise(found.champion_precision), _promise(promised)
    promises = f"both with {after}" if before == after else f"the champion with {before}, the challenger with {after}"
    lost = _beyond(within, noise, f"{_signed(limit)} points are lost")
    told += (
        f", before {percent(champion.photos / photos)} (a difference of {_signed(found.points)} points, "
        f"{points_between(found.points_95)}; {promises}): {'nothing is lost' if found.points >= 0 else lost}."
    )
    alike = promised in {None, found.champion_precision}
    refused, doubtful = alike and not within and not noise, not alike and not within
    if refused and promised is not None and found.surest is not None:
        refused = found.surest.wrong > champion.wrong
        doubtful = not refused
        told += (
            f" Of its {champion.photos:,} surest photos, as many as the champion labels, {found.surest.wrong:,} are "
            f"wrong, of the champion's {champion.wrong:,}: "
            f"{'it is less sure' if refused else 'it is as good, and its thresholds are too high'}."
        )
    if found.own_precision != promised:
        doubtful |= 100 * (champion.photos - found.own.photos) / photos > limit
        told += f" Jobs without --precision get {_promise(found.own_precision)}" + (
            f", which labels {percent(found.own.photos / photos)}." if found.own_precision is not None else "."
        )
    return Finding(not refused, told, doubtful, unsure=not within and noise)


def _precision(_: GateSettings, comparison: Comparison) -> Finding | None:
    """Labels that nobody looks at are right as often as promised, as far as chance can tell, or as often as before.

    The champion may have broken the same promise on these photos. Then a challenger that is no worse passes, and a
    person is told, since to refuse it would keep what is no better.
    """
    found = comparison.automation
    if found is None or found.challenger_precision is None or not found.everywhere.photos:
        return None
    own, before, promised = found.everywhere, found.champion, found.challenger_precision
    broken, below = own.right_95[1] < promised, _right(own) < promised
    worse = before is not None and (not before.photos or _right(own) < _right(before))
    told = (
        f"Of {own.photos:,} labels without a person {own.wrong:,} are wrong: {percent(_right(own))} are right "
        f"(95% {between(own.right_95)}), {percent(promised)} promised"
    )
    if before is not None:
        told += f"; before, {before.wrong:,} of {before.photos:,} were wrong"
    if broken:
        todo = ", and more often than before" if worse else ": look at these photos, or ask for more precision"
        told += f". The promise is broken{todo}"
    elif below:
        told += ": less than promised, which may be noise"
    return Finding(not (broken and worse), f"{told}.", broken and not worse, unsure=below)


def _right(found: AutomaticLabels) -> float:
    return 1 - found.wrong / found.photos


def _promise(precision: float | None) -> str:
    return "no promise: every photo goes to review" if precision is None else f"precision {precision_text(precision)}"


def _budgets(settings: GateSettings, comparison: Comparison) -> dict[str, Finding]:
    """Size and speed against the champion's, and the absolute limit of the size, if one was asked for."""
    before, after, found = comparison.champion_footprint, comparison.challenger_footprint, {}
    has = f"The model has {after.bytes / _MB:.2f} MB"
    if before is not None:
        larger, quicker = after.bytes / before.bytes, after.images_per_s / before.images_per_s
        told = f"{has}, before {before.bytes / _MB:.2f}: {larger:.2f} times as much"
        found["size"] = _limited(told, larger <= settings.max_size_ratio, _at_most, settings.max_size_ratio)
        told = f"On one thread {after.images_per_s:,.0f} images a second, before {before.images_per_s:,.0f}"
        told += f": {quicker:.2f} times as many"
        found["speed"] = _limited(told, quicker >= settings.min_speed_ratio, _at_least, settings.min_speed_ratio)
    if (most := settings.max_size_mb) is not None:
        found["absolute_size"] = _limited(has, after.bytes <= most * _MB, _at_most, most)
    return found


def _limited(told: str, kept: bool, worded: Callable[[bool, str], str], limit: float) -> Finding:
    return Finding(kept, f"{told}, {worded(kept, f'{limit:.2f}')} as asked.")


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
        end = "" if limit is None else f" At most {percent(limit)} of its rows may change, and nobody can tell."
        return Finding(limit is None, told + end)
    passed = limit is None or found.changed_share <= limit
    asked = "; no limit was asked" if limit is None else f": {_at_most(passed, percent(limit))} as asked"
    told = (
        f"{found.changed:,} of {number_of(found.rows, 'row')} of the catalogue would change: "
        f"{percent(found.changed_share)} (95% {between(found.changed_share_95)}){asked}."
    )
    return Finding(passed, told)


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
}


def _at_most(kept: bool, limit: str) -> str:
    return f"{'at most' if kept else 'more than'} {limit}"


def _beyond(within: bool, noise: bool, limit: str) -> str:
    """What a loss says that counts only beyond noise."""
    return f"{_at_most(within, limit)}{' as asked' if within else ', which may be noise' if noise else ''}"


def _at_least(kept: bool, limit: str) -> str:
    return f"{'at least' if kept else 'less than'} {limit}"


def _signed(points: float) -> str:
    """With one digit, and a minus sign if it is negative; never ``−0.0``."""
    return f"{points:z.1f}".replace("-", "−")


def points_between(interval: Interval) -> str:
    """The ends of a 95% interval: ``95% −0.1 to 4.7``."""
    return f"95% {_signed(interval[0])} to {_signed(interval[1])}"


def _right_between(share: float, photos: int) -> str:
    return f"95% {between(proportion_interval(round(share * photos), photos))}"


def _listed(names: Sequence[str]) -> str:
    """Some names, and how many others there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest:,} others" if rest > 0 else "")
