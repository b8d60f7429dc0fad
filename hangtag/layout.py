"""Checks that the rooms, which are top-level packages, are not hidden by other folders of the same name."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOMS: Final = ("models", "trainer", "exporter", "worker", "web", "hangtag")
"""The rooms that have commands."""
_ALL: Final = (*ROOMS, "catalogue", "pages")


def find_misplaced(home: Path) -> str | None:
    """Say which room is not Hangtag's own.

    Args:
        home: the folder that the package ``hangtag`` is in.

    Returns:
        What is wrong and what to do; None if every room lies beside ``hangtag``.
    """
    for room in _ALL:
        spec = find_spec(room)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None:
            return f"Hangtag's package {room} is missing beside {home / 'hangtag'}; install Hangtag again."
        if origin != home / room / "__init__.py":
            return (
                f"Expected Hangtag's package {room} in {home / room}, but {origin} is in the way; "
                "rename it, or run hangtag from another folder."
            )
    return None


def check_layout() -> None:
    """Check that every room is Hangtag's own.

    Raises:
        ImportError: one is not (the error tree lives in a room, so it may not be there to raise).
    """
    wrong = find_misplaced(Path(__file__).resolve().parents[1])
    if wrong:
        raise ImportError(wrong)
