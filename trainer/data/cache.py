"""Where what was made of photos is kept from one command to the next."""

import os
from pathlib import Path

__all__ = ["default_cache", "looks_folder", "pixels_folder"]


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/hangtag``, or ``~/.cache/hangtag``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hangtag"


def pixels_folder(cache: Path) -> Path:
    """Of :class:`trainer.data.pixel_store.PixelStore`."""
    return cache / "pixels"


def looks_folder(cache: Path) -> Path:
    """Of :class:`trainer.check.look_store.LookStore`."""
    return cache / "looks"
