"""Every class, before and after."""

from typing import Final

from models.statistics.intervals import Interval, proportion_interval
from pages.text import isolated, percent, visible
from trainer.retrain.records import ClassComparison
from trainer.retrain.report.material import CycleMaterial
from trainer.retrain.report.words import points
from worker.page.sections import more, section

__all__ = ["classes_section"]

_MOST: Final = 40
_LONGEST: Final = 60
_NOTE: Final = (
    "Recall: how many of the class's test photos are recognised. The band is where it lies with 95% confidence"
)


def classes_section(material: CycleMaterial) -> str:
    """Those that lose most first; new ones, and those without test photos, last."""
    comparison = material.comparison
    if comparison is None or not comparison.classes:
        return ""
    order = sorted(comparison.classes.items(), key=_rank)
    both = comparison.champion is not None
    rows = "".join(_row(name, one, new=name in comparison.new_classes) for name, one in order[:_MOST])
    points_head = '<th class="n">points</th><th class="n">won</th><th class="n">lost</th>' if both else ""
    scale = '<th class="track-cell"><span class="scale"><i>0</i><i>50</i><i>100%</i></span></th>'
    head = f'<th>class</th><th class="n">photos</th>{scale}<th class="n">recall</th>{points_head}'
    table = f'<table class="recall"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    key = (
        f'<p class="key"><span><i class="then"></i>{isolated(comparison.challenger)}</span>'
        + (f'<span><i class="now"></i>{isolated(comparison.champion)}</span>' if comparison.champion else "")
        + "</p>"
    )
    gone = "".join(
        f"<p>{isolated(name, _LONGEST)} is a class of the champion's that is not there any more.</p>"
        for name in comparison.vanished
    )
    rest = more(len(order) - _MOST, "class", "classes", "comparison.json")
    title = f'Classes <span class="faint">· {len(order):,}</span>'
    seen = ", seen from the champion's" if both else ""
    note = f"{_NOTE}{seen}."
    return section(title, f'{key}{table}{rest}{gone}<p class="faint">{note}</p>', "long", "classes")


def _rank(item: tuple[str, ClassComparison]) -> tuple[bool, bool, float, str]:
    name, one = item
    return not one.photos, one.points is None, one.points or one.challenger, name


def _row(name: str, one: ClassComparison, *, new: bool) -> str:
    badge = ' <span class="rules">new</span>' if new else ""
    label = f"<td>{isolated(name, _LONGEST)}{badge}</td>"
    count = f'<td class="n" data-name="photos">{one.photos:,}</td>'
    if not one.photos:
        return f'<tr>{label}{count}<td class="faint" colspan="5">no test photo to measure it on</td></tr>'
    was = f"<small>{percent(one.champion)} → </small>" if one.champion is not None else ""
    recall = f'<td class="n" data-name="recall">{was}{percent(one.challenger)}</td>'
    return f'<tr>{label}{count}<td class="track-cell">{_track(name, one)}</td>{recall}{_changes(one)}</tr>'


def _changes(one: ClassComparison) -> str:
    if one.points is None:
        return ""
    kind = " up" if one.points > 0 else " down" if one.points < 0 else ""
    return (
        f'<td class="n{kind}" data-name="points">{points(one.points)}</td>'
        f'<td class="n" data-name="won">{one.won:,}</td><td class="n" data-name="lost">{one.lost:,}</td>'
    )


def _track(name: str, one: ClassComparison) -> str:
    """Both on a line from 0 to 1: a ring for the champion, a dot for the challenger, and the band where it may lie."""
    low, high = (100 * min(1.0, max(0.0, end)) for end in _band(one))
    at = 100 * one.challenger
    marks = f'<line class="rail" x1="0" x2="100%" y1="10" y2="10"/><line class="band" {_x(low, high)}/>'
    said = f"{name}: {one.challenger:.1%}"
    if one.champion is not None:
        kind = "up" if one.challenger > one.champion else "down"
        was = 100 * one.champion
        marks += f'<line class="step {kind}" {_x(was, at)}/><circle class="now" cx="{was:.2f}%" cy="10" r="4.5"/>'
        said = f"{name}: {one.champion:.1%} to {one.challenger:.1%}"
    marks += f'<circle class="then" cx="{at:.2f}%" cy="10" r="5"/>'
    label = visible(said)
    return f'<svg class="track" height="20" role="img" aria-label="{label}"><title>{label}</title>{marks}</svg>'


def _x(start: float, end: float) -> str:
    return f'x1="{start:.2f}%" x2="{end:.2f}%" y1="10" y2="10"'


def _band(one: ClassComparison) -> Interval:
    if one.champion is not None and one.points_95 is not None:
        low, high = one.points_95
        return one.champion + low / 100, one.champion + high / 100
    return proportion_interval(round(one.challenger * one.photos), one.photos)
