"""What people may call a model, an alias or a job: such names are folders, keys and parts of commands."""

import re
from typing import Final

__all__ = ["is_name", "name_expected"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_name(text: str) -> bool:
    """Whether something can be called so."""
    return _NAME.fullmatch(text) is not None


def name_expected(what: str, got: str) -> str:
    """What to tell who gave another name.

    Args:
        what: it was to be the name of: ``a job``.
        got: what they gave.
    """
    return (
        f"Expected a name for {what} of letters, digits, '.', '_' and '-' (at most 64, the first a letter or a digit), "
        f"got {got!r}."
    )
