"""Sentences on figures: what a precision came to; why none is promised, what a proof takes, and what to do."""

from collections.abc import Mapping

from models.statistics.confidence import PrecisionTarget
from models.statistics.thresholds import fewest_own_rows, fewest_rows
from models.taxonomy import level_name
from models.text import number_of
from trainer.judging.figures import AchievedPrecision, Figures, SurestPhotos
from trainer.run import RunArgs, RunState

_WEAK = 5


def levels_text(achieved: AchievedPrecision) -> str:
    """What came of each level, such as ``leaf 69.9%, 251 of 260 right; level 1 11.6%, 43 of 43 right``."""
    rows = []
    for level, one in enumerate(achieved.levels):
        low, high = one.precision_95
        right = f", {one.automatic - one.wrong:,} of {one.automatic:,} right ({low:.3f} to {high:.3f})"
        rows.append(f"{level_name(level)} {one.coverage:.1%}{right if one.automatic else ''}")
    return f"{'; '.join(rows)}; {achieved.coverage:.1%} at some level"


def distances_text(away: Mapping[int, int]) -> str:
    """How far off wrong classes are, such as ``Likeliest classes that are wrong, by …: 44 by 1 edge, 5 by 2 edges``."""
    wrong = {edges: count for edges, count in away.items() if edges}
    if not wrong:
        return "No likeliest class is wrong"
    counts = (f"{count:,} by {number_of(edges, 'edge')}" for edges, count in sorted(wrong.items()))
    return (
        "Wrong likeliest classes, by the steps from the true class up to the first label that both share: "
        f"{', '.join(counts)}"
    )


def achieved_text(precision: float, achieved: AchievedPrecision) -> str:
    """What a promised precision came to, such as ``At 0.95: 61% of the photos labelled, 98 of 100 right (…)``."""
    if achieved.precision is None:
        return f"At {precision:.2f}: no photo is labelled without a person"
    low, high = achieved.precision_95
    return (
        f"At {precision:.2f}: {achieved.coverage:.1%} of the photos labelled without a person, "
        f"{achieved.automatic - achieved.wrong:,} of these {achieved.automatic:,} right: "
        f"{achieved.precision:.3f} (95%: {low:.3f}–{high:.3f})"
    )


def why_unproved(target: PrecisionTarget, own: Figures | None) -> str:
    """Why a target labels nothing; ``own`` is of the network's own rows."""
    fewest, rows = fewest_rows(target.precision, tree=bool(target.nodes)), target.rows[0]
    counts = [(fewest, rows), (fewest_own_rows(target.precision), own.n)] if own else [(fewest, rows)]
    for needed, there in counts:
        if there < needed:
            return f"takes {needed:,} independent photos without a mistake, there are {there:,}"
    if own and own.accuracy < 1.0:
        why = f"{own.n - round(own.n * own.accuracy):,} of {own.n:,} are wrong"
    else:
        why = "photos of one product count as about one"
    return f"needs the surest {fewest:,} independent photos to be right, or nearly all of more; {why}"


def unpromised_sentences(
    lowest: PrecisionTarget, own: Figures | None, surest: SurestPhotos | None, word: str, own_word: str
) -> list[str]:
    """Why not even the ``lowest`` target is promised, how the surest photos did, and the classes found least often.

    ``word`` and ``own_word`` name the photos of ``surest`` and of ``own``.
    """
    sentences = [f"No precision can be promised: {lowest.precision:.2f}, the lowest, {why_unproved(lowest, own)}."]
    if surest:
        sentences.append(
            f"Of the surest {surest.photos:,} of {number_of(surest.of, f'{word} photo')}, confidence "
            f"{surest.threshold:.2f} and above, {surest.right:,} were right: {surest.right / surest.photos:.0%}. "
            f"That is not proved: --threshold {surest.threshold:.2f} labels like that without a promise."
        )
    if own and (weak := weakest(own)):
        found = ", ".join(f"{one} ({own.classes[one].recall:.0%})" for one in weak)
        sentences.append(f"Found least often, of the {own_word} photos: {found}.")
    return sentences


def advice_for_promise(args: RunArgs, *, folds_may_prove: bool) -> str:
    """What to do for a promise."""
    ways = ["label more photos"]
    if args.state is RunState.INTERRUPTED:
        ways.insert(0, "go on with the training")
    elif args.ended_by_time:
        ways.insert(0, f"allow more time ({number_of(args.epochs_done, 'epoch')} fitted into --time-limit)")
    if args.state is not RunState.INTERRUPTED and not args.folds and folds_may_prove:
        ways.append("train with --folds 2, which proves it on more")
    *others, last = ways
    return f"For a promise, {', '.join(others)}{', or ' if others else ''}{last}."


def weakest(figures: Figures, most: int = _WEAK) -> list[str]:
    """The classes that are found least often, worst first; those that are always found are not among them."""
    missed = [(one.recall, name) for name, one in figures.classes.items() if one.support and one.recall < 1.0]
    return [name for _, name in sorted(missed)[:most]]
