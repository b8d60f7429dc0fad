"""Why there is no int8 model, for a person."""

from exporter.drop import Drop
from exporter.int8.search import Attempt, Int8Search

__all__ = ["too_much", "why_refused"]


def why_refused(search: Int8Search, allowed: float) -> str:
    """What a search that found nothing came to.

    Args:
        search: whose model is none.
        allowed: so many points of accuracy could have been lost.
    """
    if not search.attempts:
        return "it has no layers that integers would make quicker"
    first, *others = search.attempts
    reason = f"{too_much(first.drop, allowed)}; it is {_times(first)}"
    if not others:
        return reason
    best = min(search.attempts, key=lambda attempt: (attempt.drop.points, -attempt.gain))
    if best is first:
        return f"{reason}. Leaving sensitive layers in floating point did not help"
    layers = f"{len(best.float_layers)} sensitive layers" if len(best.float_layers) > 1 else "a sensitive layer"
    return f"{reason}. With {layers} in floating point it loses {best.drop.points:.2f} and is {_times(best)}"


def too_much(cost: Drop, allowed: float) -> str:
    """What a variant loses, and what it might."""
    low, high = cost.points_95
    return (
        f"it loses {cost.points:.2f} points of accuracy on {cost.photos} validation photos (95%: {low:.2f} to "
        f"{high:.2f}; {allowed:g} are allowed)"
    )


def _times(attempt: Attempt) -> str:
    return f"{attempt.gain:.2f} times as fast as float32 in the network"
