"""The choice of a bundle's default variant, by what was measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exporter.options import ExportOptions
from exporter.variant import MadeVariant
from models.decision import precision_text, promise_text
from models.errors import InputError
from models.manifest import AUTO, FLOAT32

_EVERYWHERE_BITS: Final = 7
"""Weights of more bits want instructions like VNNI; see :class:`models.manifest.Quantization`."""
_QUICKER: Final = 1.12
"""How many times as fast as float32 a default must be. Less is no gain where each core has a process: they share caches
and memory, which one thread measures alone (1.08 of a ``mobilenet`` was 0.99 with two; docs/measurements.md)."""
_MORE_REVIEW: Final = 0.02
"""Share of rows that a default may send to review beyond float32's. People cost more than processors; this is noise."""


@dataclass(frozen=True)
class Default:
    """A bundle's default variant, and why it is that one: a sentence with the figures."""

    name: str
    because: str


def choose_default(made: Sequence[MadeVariant], options: ExportOptions, cpu: str) -> Default:
    """The quickest variant that is as good as float32, unless a person has asked for one.

    That is a lighter one that is right on every processor, at least 1.12 times as fast as float32 in the network and
    from file to label, whose measured loss of accuracy chance can explain or is surely within ``max_drop`` (by its 95%
    interval), and that promises no lower precision and sends at most 2% more of the rows to review. float32 if there is
    none.

    Args:
        made: the variants that ship, float32 first.
        options: which one is asked for, if any, and how many points of accuracy may be lost.
        cpu: the processor that their speeds were measured on.

    Raises:
        InputError: the variant that is asked for does not ship.
    """
    float32, *lighter = made
    by_name = {variant.name: variant for variant in made}
    if options.default_variant in by_name:
        return Default(options.default_variant, "it was asked for")
    if options.default_variant != AUTO:
        msg = (
            f"Expected {options.default_variant} as the default variant, but the bundle would not have it, only "
            f"{', '.join(by_name)}. Nothing was published; leave out --default-variant, or raise --max-drop."
        )
        raise InputError(msg)
    judged = [(variant, _no_default(variant, float32, options.max_drop)) for variant in lighter]
    if good := [variant for variant, reason in judged if reason is None]:
        best = max(good, key=lambda variant: variant.speed)
        return Default(best.name, _praise(best, float32, cpu))
    why = "; ".join(f"{variant.name} {reason}" for variant, reason in judged)
    return Default(FLOAT32, f"{why} (measured on {cpu})" if why else "no other variant ships")


def _no_default(variant: MadeVariant, float32: MadeVariant, max_drop: float) -> str | None:
    """Why a variant that ships is no better a default than float32; None if it is."""
    cost, promise, wanted = variant.cost, variant.metadata.precision, float32.metadata.precision
    if variant.quantization and variant.quantization.weight_bits > _EVERYWHERE_BITS:
        return "is right only on processors with VNNI or the like"
    if (slower := min(variant.speed, variant.gain or 1.0)) < _QUICKER:
        return f"is {variant.pace}: {math.floor(slower * 1000) / 1000:.3f} is less than the {_QUICKER} times needed"
    if cost and cost.points_95[0] > 0.0 and cost.points_95[1] > max_drop:
        low, high = cost.points_95
        return (
            f"loses {cost.points:.2f} points of accuracy on {cost.photos} validation photos, more than chance (95%: "
            f"{low:.2f} to {high:.2f}), and {max_drop:g} are allowed"
        )
    if (promise or 0.0) < (wanted or 0.0):
        return f"promises a precision of {promise_text(promise)}, and float32 {promise_text(wanted)}"
    if variant.coverage < float32.coverage - _MORE_REVIEW:
        return f"labels {variant.coverage:.1%} of the rows by itself, and float32 {float32.coverage:.1%}"
    return None


def _praise(variant: MadeVariant, float32: MadeVariant, cpu: str) -> str:
    way = "in the network" if variant.whole_gain is None else "from file to label"
    said = f"{variant.name} is {variant.speed:.2f} times as fast as float32 {way} on {cpu}"
    if cost := variant.cost:
        low, high = cost.points_95
        said += (
            f", and {cost.words} ({cost.points:.2f} lost on {cost.photos} validation photos, 95%: {low:.2f} to "
            f"{high:.2f})"
        )
    if promise := variant.metadata.precision:
        said += (
            f"; at the precision of {precision_text(promise)} that it promises it labels {variant.coverage:.1%} of the "
            f"rows by itself, and float32 {float32.coverage:.1%}"
        )
    return said
