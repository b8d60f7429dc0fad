"""Whether a challenger leaves more to people, or is wrong more often where nobody looks."""

from exporter.confidence.intervals import proportion_interval
from models.precision import precision_text
from trainer.retrain.config import GateSettings
from trainer.retrain.phrases import between, percent, signed
from trainer.retrain.records import Automatic, Automation, Check, Comparison

__all__ = ["check_coverage", "check_precision"]


def check_coverage(settings: GateSettings, comparison: Comparison) -> Check | None:
    """Not many more photos than before go to review."""
    found = comparison.automation
    if found is None or found.champion is None or found.points is None or found.points_95 is None:
        return None
    photos, limit = comparison.photos, settings.max_coverage_loss_points
    within = -found.points <= limit
    noise = not within and found.points_95[1] >= 0
    end = f"{'at most' if within else 'more than'} {signed(limit)} points are lost"
    sentence = (
        f"Labels {percent(found.challenger.photos / photos)} of {photos:,} photos without a person, before "
        f"{percent(found.champion.photos / photos)} (a difference of {signed(found.points)} points, "
        f"{between(found.points_95)}{_at(found)}): {end}{' as asked' if within else ''}"
        f"{', which may be noise' if noise else ''}."
    )
    return Check(name="coverage", passed=within or noise, sentence=sentence)


def check_precision(comparison: Comparison) -> Check | None:
    """Labels that nobody looks at are right as often as promised, or at least not wrong more often than before.

    The champion may have broken the same promise on these photos. Then a challenger that is no worse passes, and a
    person is told, since to refuse it would keep what is no better.
    """
    found = comparison.automation
    if found is None or found.precision is None or not found.challenger.photos:
        return None
    own = found.challenger
    right, interval = _right(own), proportion_interval(own.photos - own.wrong, own.photos)
    more = found.wrong_points_95 is not None and found.wrong_points_95[0] > 0
    passed = right >= found.precision or not more
    doubtful = passed and interval[1] < found.precision
    before = found.champion
    told = (
        f"Of {own.photos:,} labels without a person {own.wrong:,} are wrong: {percent(right)} are right "
        f"({between((100 * interval[0], 100 * interval[1]))}), {percent(found.precision)} promised"
    )
    if before is not None:
        told += f"; before, {before.wrong:,} of {before.photos:,} were wrong"
    if not passed:
        told += ", which are fewer beyond noise"
    if doubtful:
        told += ". These test photos say that the promise is not kept: look at them, and ask for more precision"
    return Check(name="precision", passed=passed, sentence=f"{told}.", doubtful=doubtful)


def _right(found: Automatic) -> float:
    return 1 - found.wrong / found.photos


def _at(found: Automation) -> str:
    return "" if found.precision is None else f", at precision {precision_text(found.precision)}"
