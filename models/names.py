"""What people may call a model, an alias or a job, since such names are folders and keys; and numbers as names."""

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["is_name", "name_expected", "numbered"]

_MOST_DIGITS: Final = 18
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


def numbered(names: Iterable[str], suffix: str, width: int = 6) -> list[int]:
    """The numbers of those names that are a number of ``width`` digits and ``suffix``, in order.

    Whatever else lies in a folder, such as ``000001.json~`` or ``000001-backup``, is nobody's.
    """
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    digits = (stem for stem in stems if stem.isascii() and stem.isdecimal() and len(stem) <= _MOST_DIGITS)
    return sorted(int(stem) for stem in digits if f"{int(stem):0{width}d}" == stem)
