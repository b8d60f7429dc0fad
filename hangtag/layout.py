"""Checks that the rooms, which are top-level packages, are not hidden by other folders of the same name."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOMS: Final = ("models", "trainer", "exporter", "worker", "web", "hangtag")
"""The rooms that have commands."""
_HOME: Final = Path(__file__).resolve().parents[1]


def check_layout() -> None:
    """Raise an ImportError if a room is not Hangtag's own: the error tree lives in one, so it may not be there."""
    for room in (*ROOMS, "catalogue", "pages"):
        spec = find_spec(room)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin != _HOME / room / "__init__.py":
            msg = (
                f"Expected Hangtag's package {room} in {_HOME / room}, found {origin or 'none'}; rename what is in the "
                "way, run hangtag from another folder, or install it again."
            )
            raise ImportError(msg)
