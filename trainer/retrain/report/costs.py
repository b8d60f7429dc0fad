"""How sure the challenger is, what it leaves to people, what it costs; the cycle's time, and where the rest is told."""

from typing import Final

from models.decision import precision_text
from pages.text import duration, isolated, visible
from trainer.retrain.records import Automatic, Comparison, Footprint
from trainer.retrain.report.material import CycleMaterial
from worker.page.sections import section

__all__ = ["costs_section", "links_section", "timings_section"]

_MB: Final = 1_000_000
_LINKS: Final = {
    "run/report.html": "The challenger's training",
    "bundle/README.md": "The challenger's card: how it was proved, how to use it",
    "comparison.json": "Every figure of the comparison",
    "verdict.json": "What the gate says",
    "catalogue.json": "What of the catalogue would change",
    "collected.json": "What was learned from, and every correction",
    "cycle.json": "The settings",
}


def costs_section(material: CycleMaterial) -> str:
    """Calibration, what is labelled without a person, size and speed, before and after."""
    comparison = material.comparison
    if comparison is None:
        return ""
    now, then = comparison.champion_footprint, comparison.challenger_footprint
    rows = _calibration(comparison) + _automation(comparison) + _footprint(now, then)
    champion = f'<th class="n">{isolated(comparison.champion)}</th>' if comparison.champion else ""
    head = f'<th></th>{champion}<th class="n">{isolated(comparison.challenger)}</th><th></th>'
    table = f'<table class="costs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    seen = (
        f'<p class="faint">With {comparison.photos:,} test photos of classes that both know, a true difference of '
        f"{comparison.smallest_points:.1f} points is found in four of five cases; smaller ones are mostly missed.</p>"
        if comparison.smallest_points is not None
        else ""
    )
    return section("Calibration, review load, size and speed", table + seen, "", "costs")


def _calibration(comparison: Comparison) -> str:
    found = comparison.calibration
    if found is None:
        return ""
    low, high = found.difference_95
    detail = f"difference {found.challenger - found.champion:+.3f}, 95% {low:+.3f} to {high:+.3f}".replace("-", "−")
    return _row("calibration error", f"{found.champion:.3f}", f"{found.challenger:.3f}", detail)


def _automation(comparison: Comparison) -> str:
    found = comparison.automation
    if found is None:
        return ""

    def cells(one: Automatic, precision: float | None) -> tuple[str, str, str]:
        promised = "none" if precision is None else precision_text(precision)
        return promised, f"{100 * one.photos / comparison.photos:.1f}%", f"{one.wrong:,} of {one.photos:,}"

    champion = found.champion
    now = (None,) * 3 if champion is None else cells(champion, found.champion_precision)
    then = cells(found.challenger, found.challenger_precision)
    detail = ""
    if found.points is not None and found.points_95 is not None:
        low, high = found.points_95
        detail = f"difference {found.points:+.1f} points, 95% {low:+.1f} to {high:+.1f}".replace("-", "−")
    names = ("precision promised", "labelled without a person", "of these wrong")
    return "".join(map(_row, names, now, then, ("", detail, "")))


def _footprint(now: Footprint | None, then: Footprint) -> str:
    size, speed = f"{then.bytes / _MB:.1f} MB", f"{then.images_per_s:,.0f} photos/s"
    if now is None:
        return _row("size", None, size, "") + _row("speed", None, speed, "on one thread")
    larger, quicker = _ratio(then.bytes, now.bytes), _ratio(then.images_per_s, now.images_per_s)
    return _row("size", f"{now.bytes / _MB:.1f} MB", size, f"{larger} as large") + _row(
        "speed", f"{now.images_per_s:,.0f} photos/s", speed, f"{quicker} as fast, on one thread"
    )


def _ratio(then: float, now: float) -> str:
    return f"{then / now:.2f} times" if now else "not measured,"


def _row(name: str, now: str | None, then: str, detail: str) -> str:
    champion = "" if now is None else f'<td class="n">{now}</td>'
    return f'<tr><td>{name}</td>{champion}<td class="n">{then}</td><td class="faint">{detail}</td></tr>'


def timings_section(material: CycleMaterial) -> str:
    """A bar a step."""
    seconds = material.outcome.seconds
    if not seconds:
        return ""
    most = max(seconds.values()) or 1.0
    rows = "".join(
        f'<tr><td>{visible(step.replace("_", " "))}</td><td class="n">{duration(took)}</td>'
        f'<td class="line"><span style="width: {100 * took / most:.1f}%"></span></td></tr>'
        for step, took in seconds.items()
    )
    head = '<th>step</th><th class="n">time</th><th class="line"></th>'
    table = f'<table class="steps"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return section("Time", table, "", "time")


def links_section(material: CycleMaterial) -> str:
    """What is beside the page."""
    there = {place: what for place, what in _LINKS.items() if (material.folder / place).is_file()}
    if not there:
        return ""
    lines = "".join(f'<li><a href="{place}">{what}</a> <code>{place}</code></li>' for place, what in there.items())
    return section("More", f'<ul class="links">{lines}</ul>', "", "more")
