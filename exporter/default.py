"""The choice of a bundle's default variant, by what was measured."""

import math
from dataclasses import dataclass
from typing import Final

from exporter.options import ExportOptions
from exporter.variant import Int8Facts, MadeVariant
from models.decision import precision_text, promise_text
from models.errors import InputError
from models.manifest import AUTO, FLOAT32, INT8

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


def choose_default(float32: MadeVariant, int8: MadeVariant | None, options: ExportOptions, cpu: str) -> Default:
    """int8 if it is as good as float32, unless a person has asked for one of them; speeds were measured on ``cpu``.

    It must be at least 1.12 times as fast as float32 in the network and from file to label; chance must explain its
    measured loss of accuracy, or the loss be surely within ``max_drop`` (by its 95% interval); and it must promise no
    lower precision and send at most 2% more of the rows to review. InputError if int8 is asked for and does not ship.
    """
    if options.default_variant == INT8 and int8 is None:
        msg = (
            "Expected int8 as the default variant, but the bundle would not have it. Nothing was published; leave out "
            "--default-variant, or raise --max-drop."
        )
        raise InputError(msg)
    if options.default_variant != AUTO:
        return Default(options.default_variant, "it was asked for")
    if int8 is None or int8.facts is None:
        return Default(FLOAT32, "no other variant ships")
    if reason := _no_default(int8, int8.facts, float32, options.max_drop):
        return Default(FLOAT32, f"int8 {reason} (measured on {cpu})")
    return Default(INT8, _praise(int8, int8.facts, float32, cpu))


def _no_default(int8: MadeVariant, facts: Int8Facts, float32: MadeVariant, max_drop: float) -> str | None:
    own, other = int8.metadata.precision, float32.metadata.precision
    low, high = facts.cost.points_95
    if (slower := min(facts.speed, facts.gain)) < _QUICKER:
        return f"is {facts.pace}: {math.floor(slower * 1000) / 1000:.3f} is less than the {_QUICKER} times needed"
    if low > 0.0 and high > max_drop:
        return (
            f"loses {facts.cost.points:.2f} points of accuracy on {facts.cost.photos} validation photos, more than "
            f"chance (95%: {low:.2f} to {high:.2f}), and {max_drop:g} are allowed"
        )
    if (own or 0.0) < (other or 0.0):
        return f"promises a precision of {promise_text(own)}, and float32 {promise_text(other)}"
    if int8.coverage < float32.coverage - _MORE_REVIEW:
        return f"labels {int8.coverage:.1%} of the rows by itself, and float32 {float32.coverage:.1%}"
    return None


def _praise(int8: MadeVariant, facts: Int8Facts, float32: MadeVariant, cpu: str) -> str:
    way = "in the network" if facts.whole_gain is None else "from file to label"
    cost, (low, high) = facts.cost, facts.cost.points_95
    praise = (
        f"int8 is {facts.speed:.2f} times as fast as float32 {way} on {cpu}, and {cost.words} ({cost.points:.2f} lost "
        f"on {cost.photos} validation photos, 95%: {low:.2f} to {high:.2f})"
    )
    if promise := int8.metadata.precision:
        praise += (
            f"; at the precision of {precision_text(promise)} that it promises it labels {int8.coverage:.1%} of the "
            f"rows by itself, and float32 {float32.coverage:.1%}"
        )
    return praise
