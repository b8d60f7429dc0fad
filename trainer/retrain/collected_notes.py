"""What a person should know of what was collected, before hours of training."""

from collections import Counter
from collections.abc import Collection
from typing import Final

from trainer.retrain.records import Collected

__all__ = ["collected_notes"]

_OUTCOMES: Final = ("applied", "added", "agrees", "conflict", "not_found")
_FIRST: Final = 3


def collected_notes(collected: Collected, before: Collection[str]) -> list[str]:
    """Lines for the console: what became of corrections, and which classes nobody has known.

    Args:
        collected: what the cycle learns from.
        before: classes of the champion and of earlier data, by today's names; none for a first model, whose classes
            are all new.
    """
    ahead = [f"Corrections: {collected.ahead}"] if collected.ahead else []
    return [*_of_corrections(collected), *ahead, *_of_classes(collected, before)]


def _of_corrections(collected: Collected) -> list[str]:
    if not collected.corrections:
        return []
    counts = Counter(correction.outcome for correction in collected.corrections)
    lines = ["Corrections: " + ", ".join(f"{name} {counts[name]:,}" for name in _OUTCOMES if counts[name])]
    lost = list(dict.fromkeys(one.image for one in collected.corrections if one.outcome == "not_found"))
    if lost:
        more = f" and {len(lost) - _FIRST:,} more" if len(lost) > _FIRST else ""
        lines.append(
            f"Not found: {', '.join(lost[:_FIRST])}{more}. Put them among the data, or import the corrections again "
            "with the right --image-root."
        )
    return lines


def _of_classes(collected: Collected, before: Collection[str]) -> list[str]:
    new = {label: count for label, count in collected.photos.items() if before and label not in before}
    if not new:
        return []
    listed = ", ".join(f"{label} ({count:,} photo{'s' * (count != 1)})" for label, count in new.items())
    return [f"New class{'es' * (len(new) > 1)}: {listed}"]
