"""A few out of many, evenly spread: photos lie class by class, so the first few are of one class."""

__all__ = ["evenly"]


def evenly(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` indices below ``count``, in order, evenly spread."""
    wanted = min(count, wanted)
    return [i * count // wanted for i in range(wanted)]
