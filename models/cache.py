"""Where Hangtag keeps what it can make again."""

import os
from pathlib import Path

__all__ = ["default_cache"]


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/hangtag``, or ``~/.cache/hangtag``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hangtag"
