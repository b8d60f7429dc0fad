"""Photos and a model to measure with: what a person names, or what ``hangtag demo`` draws and trains."""

import subprocess
import sys
from pathlib import Path

from models.preprocess import IMAGE_SUFFIXES

__all__ = ["make_material", "photo_list"]


def make_material(photos: Path | None, model: Path | None, scratch: Path) -> tuple[Path, Path]:
    """The folder of photos and the bundle; made in ``scratch`` where they are not given."""
    if photos and model:
        return photos, model
    demo = scratch / "demo"
    if not (demo / "bundles" / "demo").is_dir():
        subprocess.run([sys.executable, "-m", "hangtag", "demo", "--out", str(demo)], check=True)
    return photos or demo / "photos", model or demo / "bundles" / "demo"


def photo_list(photos: Path) -> list[str]:
    """Absolute paths of all photos under a folder, sorted."""
    return [str(path.resolve()) for path in sorted(photos.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]
