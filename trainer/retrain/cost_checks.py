"""Whether a challenger is too large, too slow, or changes too much of a catalogue."""

from collections.abc import Iterator
from typing import Final

from models.text import number_of
from trainer.retrain.config import GateSettings
from trainer.retrain.phrases import between, percent
from trainer.retrain.records import CatalogueDiff, Check, Comparison

__all__ = ["check_catalogue", "cost_checks"]

_MB: Final = 1e6


def cost_checks(settings: GateSettings, comparison: Comparison) -> Iterator[Check]:
    """Size and speed against the champion's, and the absolute limit of size where there is one."""
    before, after = comparison.champion_footprint, comparison.challenger_footprint
    megabytes = after.bytes / _MB
    if before is not None:
        ratio = after.bytes / before.bytes
        passed = ratio <= settings.max_size_ratio
        told = f"The model has {megabytes:.2f} MB, before {before.bytes / _MB:.2f}: {ratio:.2f} times as much"
        limit = f"{'at most' if passed else 'more than'} {settings.max_size_ratio:.2f} as asked."
        yield Check(name="size", passed=passed, sentence=f"{told}, {limit}")
        ratio = after.images_per_s / before.images_per_s
        passed = ratio >= settings.min_speed_ratio
        told = f"On one thread {after.images_per_s:,.0f} images a second, before {before.images_per_s:,.0f}"
        limit = f"{'at least' if passed else 'less than'} {settings.min_speed_ratio:.2f} as asked."
        yield Check(name="speed", passed=passed, sentence=f"{told}: {ratio:.2f} times as many, {limit}")
    if settings.max_size_mb is not None:
        passed = megabytes <= settings.max_size_mb
        limit = f"{'at most' if passed else 'more than'} {settings.max_size_mb:.2f} as asked."
        yield Check(name="absolute_size", passed=passed, sentence=f"The model has {megabytes:.2f} MB: {limit}")


def check_catalogue(settings: GateSettings, comparison: Comparison, catalogue: CatalogueDiff | None) -> Check | None:
    """No more of the catalogue's rows change than asked; where nobody could tell, that is a refusal."""
    limit = settings.max_changed_share
    if comparison.champion is None or (catalogue is None and limit is None):
        return None
    if catalogue is None or catalogue.rows == 0 or catalogue.failed > catalogue.rows:
        asked = "" if limit is None else f" At most {percent(limit)} of its rows may change, and nobody can tell."
        return Check(name="catalogue", passed=limit is None, sentence=f"{_uncompared(catalogue)}{asked}")
    share, (low, high) = catalogue.changed_share, catalogue.changed_share_95
    passed = limit is None or share <= limit
    told = (
        f"{catalogue.changed:,} of {number_of(catalogue.rows, 'row')} of the catalogue would change: {percent(share)}"
    )
    end = (
        "; no limit was asked."
        if limit is None
        else f": {'at most' if passed else 'more than'} {percent(limit)} as asked."
    )
    return Check(name="catalogue", passed=passed, sentence=f"{told} ({between((100 * low, 100 * high))}){end}")


def _uncompared(catalogue: CatalogueDiff | None) -> str:
    if catalogue is None:
        return "No rows of a catalogue were compared: name one in [catalogue]."
    tried = catalogue.rows + catalogue.failed
    return f"Of {number_of(tried, 'row')} of {catalogue.source} only {catalogue.rows:,} could be compared."
