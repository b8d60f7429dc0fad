"""Cells that no spreadsheet computes, and that come back as they were."""

from worker.merging.formula import inert

__all__ = ["guarded", "unguarded"]


def guarded(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would compute it, or where it would lose one when read."""
    bare = text.lstrip("'")
    return text if inert(bare) == bare else f"'{text}"


def unguarded(cell: str) -> str:
    """The inverse of :func:`guarded`; it also takes off the apostrophe that a ``review.csv`` has before a formula."""
    bare = cell.lstrip("'")
    return cell if bare == cell or inert(bare) == bare else cell[1:]
