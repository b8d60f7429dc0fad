"""Publishes a bundle as a folder that is whole or absent."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from models.bundle import MANIFEST_FILE
from models.errors import InputError
from models.manifest import Manifest
from models.whole_file import write_synced


def check_free(place: Path) -> None:
    """Raise InputError if something is there: a bundle is never written over."""
    if os.path.lexists(place):
        msg = f"{place} exists, and a bundle is never overwritten; pass another --out, or delete it."
        raise InputError(msg)


def check_place(place: Path) -> None:
    """Raise InputError if the place is taken, or no folder can be made there: before the work, not after it."""
    check_free(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=".bundle.", dir=place.parent).cleanup()
    except OSError as error:
        msg = f"Expected to write into {place.parent}, the system answered {error.strerror}; pass another --out."
        raise InputError(msg) from error


def sha256_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file, by name."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def publish(place: Path, files: Mapping[str, bytes], manifest: Manifest, check: Callable[[Path], None]) -> None:
    """Write a bundle beside its place, then rename it into it; InputError if something is there.

    ``files`` are name → contents, without the manifest. ``check`` is called with the whole bundle before it is renamed:
    if it raises, nothing is published.
    """
    check_free(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".bundle.", dir=place.parent, ignore_cleanup_errors=True) as beside:
            whole = Path(beside) / "bundle"
            for name, data in {**files, MANIFEST_FILE: manifest.model_dump_json(indent=1).encode()}.items():
                (whole / name).parent.mkdir(parents=True, exist_ok=True)
                write_synced(whole / name, data)
            check(whole)
            check_free(place)
            whole.rename(place)
    except OSError as error:
        msg = f"Could not write the bundle {place}: {error}."
        raise InputError(msg) from error
