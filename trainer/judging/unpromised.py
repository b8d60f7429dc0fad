"""What is said of targets that label nothing: why, what a proof takes, and how the surest photos did."""

from models.statistics.confidence import PrecisionTarget
from models.statistics.thresholds import fewest_own_rows, fewest_rows
from models.text import number_of
from trainer.judging.figures import Figures, SurestPhotos

__all__ = ["unpromised_sentences", "weakest", "why_unproved"]

_WEAK = 5


def why_unproved(target: PrecisionTarget, own: Figures | None) -> str:
    """Why a target labels nothing; ``own`` is of the network's own rows."""
    rows, fewest_own = target.rows[0], fewest_own_rows(target.precision)
    fewest = _fewest(target)
    if rows < fewest:
        return f"takes {fewest:,} photos of different products without a mistake, there are {rows:,}"
    if own is not None and own.n >= rows:
        wrong = f"{own.n - round(own.n * own.accuracy):,} of {own.n:,}"
    elif own is not None and own.n < fewest_own:
        return f"takes {fewest_own:,} validation photos without a mistake, there are {own.n:,}"
    else:
        wrong = f"too many of {rows:,}"
    return f"takes the surest {fewest:,} photos without a mistake, or more photos with few mistakes; {wrong} are wrong"


def unpromised_sentences(
    lowest: PrecisionTarget, own: Figures | None, surest: SurestPhotos | None, word: str
) -> list[str]:
    """Why not even the ``lowest`` target is promised, how the surest photos did, and the classes found least often."""
    few = lowest.rows[0] < _fewest(lowest) or (own is not None and own.n < fewest_own_rows(lowest.precision))
    said = "there are too few photos to prove one" if few else "too many photos are wrong to prove one"
    sentences = [
        f"No precision can be promised: {said}. {lowest.precision:.2f}, the lowest, {why_unproved(lowest, own)}."
    ]
    if surest:
        sentences.append(
            f"Of the surest {surest.photos:,} of {number_of(surest.of, f'{word} photo')}, confidence "
            f"{surest.threshold:.2f} and above, {surest.right:,} were right: {surest.right / surest.photos:.0%}. "
            f"That is not proved: --threshold {surest.threshold:.2f} labels like that without a promise."
        )
    if own and (weak := weakest(own)):
        sentences.append(f"Found least often: {', '.join(f'{one} ({own.classes[one].recall:.0%})' for one in weak)}.")
    return sentences


def weakest(figures: Figures, most: int = _WEAK) -> list[str]:
    """The classes that are found least often, worst first; those that are always found are not among them."""
    missed = [(one.recall, name) for name, one in figures.classes.items() if one.support and one.recall < 1.0]
    return [name for _, name in sorted(missed)[:most]]


def _fewest(target: PrecisionTarget) -> int:
    return fewest_rows(target.precision, tree=bool(target.nodes))
