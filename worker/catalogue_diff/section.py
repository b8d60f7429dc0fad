"""What would change of a catalogue, as a part of a page."""

from typing import Final

from models.text import number_of
from pages.text import isolated, share, visible
from worker.catalogue_diff.figures import CatalogueFigures, ChangedRow
from worker.page.sections import section

__all__ = ["CATALOGUE_STYLE", "catalogue_section", "changed_sentence", "sample_sentence"]

_MOST_FLOWS: Final = 15
_LONGEST: Final = 60

CATALOGUE_STYLE: Final = """
.change { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 .45rem }
.change i { font-style: normal; color: var(--faint) }
.flows { table-layout: auto }
.flows td { vertical-align: middle }
.flows .n { width: 5rem }
.flows .line { width: 42%; padding-right: 0 }
.flows .line span { display: block; height: .7rem; min-width: 2px; background: var(--bar);
  border-radius: 0 .2rem .2rem 0 }
.flows + p { margin-top: .75rem }
.flows + h3, .flows + p + h3 { margin-bottom: .5rem }
.tile.change-row figcaption { border-left: 0; border-top: 1px solid var(--line) }
h2 .faint, h3 .faint { font-weight: 400 }
.tile.change-row figcaption > span { color: var(--faint) }
.tile.change-row figcaption b, .tile.change-row b span { color: var(--ink); font-size: inherit }
.tile.change-row figcaption b { -webkit-line-clamp: 3 }
@media (max-width: 40rem) { .flows .line { width: 26% } .flows .n { width: 4rem } }
"""


def changed_sentence(figures: CatalogueFigures, interval: tuple[float, float], how: str = "") -> str:
    """``3.1% of your rows would change (62 of 2,000; 95% 2.4 to 3.9%)``, as HTML that is text without elements.

    Args:
        figures: of the comparison.
        interval: of the share.
        how: which interval that is, where it is not the exact one.
    """
    low, high = (100 * end for end in interval)
    counts = f"{figures.changed:,} of {figures.rows:,}"
    name = f", {how}" if how else ""
    return (
        f"{share(figures.changed, figures.rows)} of your rows would change "
        f"({counts}; 95% {low:.1f} to {high:.1f}%{name})"
    )


def sample_sentence(figures: CatalogueFigures) -> str:
    """What was compared, as HTML."""
    drawn = figures.rows + figures.failed
    which = "all" if drawn == figures.rows_in_source else f"{drawn:,}, drawn at random,"
    failed = f" {number_of(figures.failed, 'row', 'rows')} could not be labelled." if figures.failed else ""
    source = f"{number_of(figures.rows_in_source, 'row', 'rows')} of {isolated(figures.source)}"
    return (
        f"Of {source}, {which} were given to both models.{failed} "
        f"{number_of(figures.to_review, 'row', 'rows')} would newly go to review, "
        f"{number_of(figures.from_review, 'row', 'rows')} would need none any more."
    )


def catalogue_section(figures: CatalogueFigures, interval: tuple[float, float], how: str = "") -> str:
    """Share, flows as bars, and photos of rows that would change.

    Args:
        figures: of the comparison.
        interval: of the share of rows that would change.
        how: which interval that is, where it is not the exact one.
    """
    title = f'Your catalogue <span class="faint">· {share(figures.changed, figures.rows)} would change</span>'
    lead = f"<p>{changed_sentence(figures, interval, how)}.</p>"
    body = f'{lead}<p class="faint">{sample_sentence(figures)}</p>{_flows(figures)}{_examples(figures)}'
    return section(title, body, "long", "catalogue")


def _flows(figures: CatalogueFigures) -> str:
    if not figures.flows:
        return ""
    most = figures.flows[0].rows
    rows = "".join(
        f'<tr><td>{_change(flow.before, flow.after)}</td><td class="n">{flow.rows:,}</td>'
        f'<td class="n">{share(flow.rows, figures.rows)}</td>'
        f'<td class="line"><span style="width: {100 * flow.rows / most:.1f}%"></span></td></tr>'
        for flow in figures.flows[:_MOST_FLOWS]
    )
    head = '<th>before → after</th><th class="n">rows</th><th class="n">share</th><th class="line"></th>'
    left = figures.flows[_MOST_FLOWS:]
    others = f"{number_of(sum(flow.rows for flow in left), 'row', 'rows')} in {len(left):,} other ways"
    rest = f'<p class="faint">and {others}</p>' if left else ""
    return f'<table class="flows"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{rest}'


def _change(before: str, after: str) -> str:
    return f'<span class="change">{isolated(before, _LONGEST)} <i>→</i> {isolated(after, _LONGEST)}</span>'


def _examples(figures: CatalogueFigures) -> str:
    if not figures.examples:
        return ""
    tiles = "".join(map(_tile, figures.examples))
    note = '<span class="faint">· the largest flows, those first that the new model is surest of</span>'
    return f'<h3>Some of them {note}</h3><div class="tiles">{tiles}</div>'


def _tile(example: ChangedRow) -> str:
    shown = (
        f'<img alt="" src="{visible(example.thumbnail, len(example.thumbnail))}">'
        if example.thumbnail
        else '<div class="nothing">no picture</div>'
    )
    place = visible(example.image or "")
    return (
        f'<figure class="tile change-row">{shown}<figcaption title="{place}">'
        f"<b>{_change(example.before, example.after)}</b>"
        f"<span>{example.before_confidence:.2f} → {example.after_confidence:.2f} sure</span>"
        f"<span>row {example.row:,}</span></figcaption></figure>"
    )
