"""The top of the page: what came of the cycle, and why."""

from models.text import number_of
from pages.text import duration, isolated, percent, share, visible
from trainer.retrain.cycle_folder import CycleStatus, Outcome
from trainer.retrain.records import Collected, Comparison
from trainer.retrain.report.material import CycleMaterial
from trainer.retrain.report.words import accuracy_95, difference, points, points_between, test_photos

__all__ = ["heading", "headline"]

_KIND = {CycleStatus.PROMOTED: "labeled", CycleStatus.REFUSED: "failed"}
_WHY = {
    "data": "there was something new to learn from",
    "drift": "a job had drifted",
}


def heading(material: CycleMaterial) -> str:
    """What came of it, when and why it began, and the figures that matter most."""
    kind = "review" if material.outcome.forced else _KIND.get(material.outcome.status, "review")
    said = f'<div class="said {kind}">{_reasons(material)}</div>'
    return f'<h1 class="{kind}">{headline(material)}</h1>{_lead(material)}{said}{_numbers(material)}'


def headline(material: CycleMaterial) -> str:
    """``shop@4 was promoted: 2.4 points better on 372 test photos (95% 0.1 to 4.7)``, as HTML."""
    outcome, comparison = material.outcome, material.comparison
    who = isolated(outcome.challenger or f"The challenger of cycle {outcome.number}")
    figures = difference(comparison) if comparison else ""
    why = visible(outcome.reasons[0].rstrip(".")) if outcome.reasons else ""
    match outcome.status:
        case CycleStatus.PROMOTED if outcome.forced:
            return f"{who} was promoted by force, though the gate refused it: {figures or why}"
        case CycleStatus.PROMOTED:
            first = "it is the first model, " if outcome.champion is None else ""
            return f"{who} was promoted{f': {first}{figures}' if figures else ''}"
        case CycleStatus.REFUSED:
            return f"{who} was refused{f': {why}' if why else ''}"
        case CycleStatus.NOTHING_NEW:
            return f"There was nothing new to learn from for {isolated(outcome.name)}"
        case CycleStatus.FAILED:
            return f"Cycle {outcome.number} of {isolated(outcome.name)} was given up{f': {why}' if why else ''}"


def _lead(material: CycleMaterial) -> str:
    outcome, start = material.outcome, material.start
    why = f"; it began because {_WHY.get(start.why, visible(start.why))}" if start else ""
    against = f" against {isolated(outcome.champion)}" if outcome.champion else ""
    return (
        f'<p class="faint">Cycle {outcome.number:,} of {isolated(outcome.name)}{against}, '
        f"{_moment(outcome.started)} to {_moment(outcome.finished)}{why}.</p>"
    )


def _moment(text: str) -> str:
    """A time in UTC, to the minute."""
    return visible(text[:16].replace("T", " ") + (" UTC" if text[19:].endswith(("+00:00", "Z")) else ""))


def _reasons(material: CycleMaterial) -> str:
    """All that was against it; or that all went well."""
    outcome = material.outcome
    lines = [str(isolated(reason)) for reason in outcome.reasons[_told_already(outcome) :]]
    if outcome.status is CycleStatus.REFUSED and material.comparison:
        lines.insert(0, f"It is {difference(material.comparison)}.")
    if outcome.status is CycleStatus.REFUSED and outcome.champion:
        lines.append(f"{isolated(outcome.champion)} goes on labelling.")
    if outcome.status is CycleStatus.PROMOTED and not outcome.forced:
        lines.append(
            "It keeps to every limit of the gate; new jobs take it, running ones keep the model that they began with."
        )
    return "".join(f"<p>{line}</p>" for line in lines)


def _told_already(outcome: Outcome) -> int:
    """How many reasons the first line of the page tells."""
    return 1 if outcome.status in {CycleStatus.REFUSED, CycleStatus.FAILED} else 0


def _numbers(material: CycleMaterial) -> str:
    cards = [*_comparison_cards(material.comparison), *_learned_cards(material.collected)]
    diff = material.catalogue
    if diff:
        low, high = diff.changed_share_95
        detail = f"{100 * low:.1f} to {100 * high:.1f}% with 95% confidence"
        cards.append(_card(share(diff.changed, diff.rows), "of your rows would change", detail))
    seconds = sum(material.outcome.seconds.values())
    if seconds:
        number, unit = duration(seconds).split(" ")
        cards.append(_card(number, unit, "of work, all steps together"))
    return f'<div class="numbers">{"".join(cards)}</div>' if cards else ""


def _comparison_cards(comparison: Comparison | None) -> list[str]:
    if comparison is None or not comparison.all_photos:
        return []
    if comparison.points is None or comparison.champion_accuracy is None:
        low, high = accuracy_95(comparison)
        detail = f"{100 * low:.1f} to {100 * high:.1f}% with 95% confidence"
        return [_card(percent(comparison.challenger_all), "test accuracy", detail, "good")]
    was = f"{percent(comparison.champion_accuracy)} before, on {test_photos(comparison.photos)}"
    band = points_between(comparison.points_95) if comparison.points_95 else ""
    kind = "labeled" if comparison.points > 0 else "failed" if comparison.points < 0 else ""
    cards = [
        _card(percent(comparison.challenger_accuracy), "test accuracy", was, "good"),
        _card(points(comparison.points), "points", band, kind),
    ]
    if comparison.smallest_points is not None:
        detail = "the smallest difference that this test finds in four of five cases"
        cards.append(_card(f"{comparison.smallest_points:.1f}", "points can be seen", detail))
    return cards


def _learned_cards(collected: Collected | None) -> list[str]:
    if collected is None:
        return []
    total = sum(collected.photos.values())
    corrected = sum(correction.outcome == "applied" for correction in collected.corrections)
    new = f"{collected.new:,} of them new, {number_of(corrected, 'correction', 'corrections')}"
    return [_card(f"{total:,}", "photos" if total != 1 else "photo", new)]


def _card(number: str, what: str, detail: str, kind: str = "") -> str:
    return f'<div class="{kind}"><b>{number}</b>{what}<span>{detail}</span></div>'
