"""Whether a challenger leaves more to people, or is wrong where nobody looks."""

from models.precision import precision_text
from models.text import number_of
from trainer.retrain.config import GateSettings
from trainer.retrain.phrases import between, percent, signed
from trainer.retrain.records import Automatic, Automation, Check, Comparison

__all__ = ["check_coverage", "check_precision"]


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
