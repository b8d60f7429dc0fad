"""What was learned from, and what became of people's corrections."""

import re
from collections import Counter
from pathlib import PurePath
from typing import Final

from models.text import number_of
from pages.text import isolated, visible
from trainer.data.dataset import Split
from trainer.retrain.records import Correction
from trainer.retrain.report.material import CycleMaterial
from worker.page.sections import more, section

__all__ = ["corrections_section", "learned_section"]

_MOST_CLASSES: Final = 40
_MOST_CORRECTIONS: Final = 60
_LONGEST: Final = 60
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_OUTCOMES: Final = {
    "conflict": "reviewers disagree; left out",
    "not_found": "nobody has that photo",
    "dropped": "its class is labelled no more",
    "applied": "label changed",
    "added": "a new photo",
    "agrees": "had that label already",
}
"""What became of a correction, those that ask for a person first."""


def learned_section(material: CycleMaterial) -> str:
    """Photos by class and split, and what is new since the cycle before."""
    collected = material.collected
    if collected is None:
        return ""
    total = sum(collected.photos.values())
    said = (
        f"Since the cycle before, {number_of(collected.new, 'photo is', 'photos are')} new, {collected.gone:,} gone, "
        f"{collected.relabeled:,} labelled otherwise."
    )
    title = f'Learned from <span class="faint">· {number_of(total, "photo", "photos")}</span>'
    return section(title, f"<p>{said}</p>{_classes(material)}", "long", "learned")


def _classes(material: CycleMaterial) -> str:
    counts = material.counts()
    assert material.collected is not None  # noqa: S101 - its section is left out where it is
    sizes = {name: sum(split.get(name, 0) for split in counts.values()) for name in material.collected.photos}
    if not counts:
        sizes = dict(material.collected.photos)
    names = sorted(sizes)[:_MOST_CLASSES]
    most = max((sizes[name] for name in names), default=0) or 1
    splits = [split for split in Split if split in counts]
    key = "".join(f'<span><i class="{split}"></i>{split.word}</span>' for split in splits)
    heads = "".join(f'<th class="n">{split.word}</th>' for split in splits) or '<th class="n">photos</th>'
    rows = ""
    for name in names:
        parts = [(str(split), counts[split].get(name, 0)) for split in splits] or [("val", sizes[name])]
        bars = "".join(f'<span class="{kind}" style="width: {100 * n / most:.2f}%"></span>' for kind, n in parts)
        cells = "".join(f'<td class="n{"" if n else " badge"}">{n:,}</td>' for _, n in parts)
        label = f"<td>{isolated(name, _LONGEST)}</td>"
        rows += f'<tr>{label}<td class="line"><div class="splits">{bars}</div></td>{cells}</tr>'
    rest = more(len(sizes) - len(names), "class", "classes", "collected.json")
    return (
        (f'<p class="key">{key}</p>' if key else "")
        + table("sizes", f'<th>class</th><th class="line"></th>{heads}', rows)
        + rest
    )


def corrections_section(material: CycleMaterial) -> str:
    """What became of each; those that ask for a person, and those of test photos, first."""
    corrections = material.collected.corrections if material.collected else ()
    if not corrections:
        return ""
    counts = Counter(correction.outcome for correction in corrections)
    said = ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in _OUTCOMES if counts[name])
    tested = [correction for correction in corrections if material.split_of(correction) is Split.TEST]
    changed = sum(correction.outcome == "applied" for correction in tested)
    note = (
        f"<p>{number_of(len(tested), 'of them is of a test photo', 'of them are of test photos')}"
        + (f", which changed {number_of(changed, 'label', 'labels')} that both models are judged by" if changed else "")
        + ". Test photos are never learned from.</p>"
    )
    order = sorted(corrections, key=lambda one: _rank(one, test=material.split_of(one) is Split.TEST))
    rows = "".join(_row(one, material.split_of(one)) for one in order[:_MOST_CORRECTIONS])
    head = "<th>photo</th><th>was → is</th><th>reviewer</th><th>what became of it</th>"
    rest = more(len(order) - _MOST_CORRECTIONS, "correction", "corrections", "collected.json")
    title = f'Corrections <span class="faint">· {said}</span>'
    return section(title, (note if tested else "") + table("corrections", head, rows) + rest, "long", "corrections")


def _rank(correction: Correction, *, test: bool) -> tuple[int, bool, str]:
    known = list(_OUTCOMES)
    return known.index(correction.outcome) if correction.outcome in known else -1, not test, correction.image


def _row(correction: Correction, split: Split | None) -> str:
    was = isolated(correction.was, _LONGEST) if correction.was else '<span class="faint">new</span>'
    place = f' <span class="rules">{split.word}</span>' if split is Split.TEST else ""
    kind = " badge" if correction.outcome in {"conflict", "not_found"} else ""
    name = visible(_name(correction.image), _LONGEST)
    meaning = _OUTCOMES.get(correction.outcome, visible(correction.outcome))
    return (
        f'<tr><td><bdi title="{visible(correction.image)}"><code>{name}</code></bdi>{place}</td>'
        f"<td>{was} → {isolated(correction.label, _LONGEST)}</td>"
        f'<td>{isolated(correction.reviewer, _LONGEST)}</td><td class="outcome{kind}">{meaning}</td></tr>'
    )


def _name(image: str) -> str:
    """A file's name; the beginning of the hash of a photo that nobody knows a path of."""
    return f"{image[:12]}…" if _SHA256.fullmatch(image) else PurePath(image).name or image


def table(kind: str, head: str, rows: str) -> str:
    """A table that scrolls by itself where the screen is narrow."""
    shown = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="wide">{shown}</div>'
