"""Where what was made of photos is kept from one command to the next."""

from pathlib import Path

__all__ = ["looks_folder", "pixels_folder"]


def pixels_folder(cache: Path) -> Path:
    """Of :class:`trainer.data.pixel_store.PixelStore`."""
    return cache / "pixels"


def looks_folder(cache: Path) -> Path:
    """Of :class:`trainer.data.look_store.LookStore`."""
    return cache / "looks"
