"""A folder that is whole or absent."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from models.bundle import MANIFEST_FILE
from models.errors import InputError
from models.manifest import Manifest

__all__ = ["check_free", "publish", "sha256_of"]


def check_free(place: Path) -> None:
    """Refuse to write over anything.

    Raises:
        InputError: something is there.
    """
    if place.exists():
        msg = f"{place} exists, and a bundle is never overwritten; pass another --out, or delete it."
        raise InputError(msg)


def sha256_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file, by name."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def publish(place: Path, files: Mapping[str, bytes], manifest: Manifest) -> None:
    """Write a bundle beside its place, then rename it into it.

    Args:
        place: where the bundle will be; nothing may be there.
        files: name → contents, without the manifest.
        manifest: lists each of them.

    Raises:
        InputError: something is there.
    """
    check_free(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        for name, data in {**files, MANIFEST_FILE: manifest.model_dump_json(indent=1).encode()}.items():
            _write(beside / name, data)
        beside.chmod(0o755)
        beside.rename(place)
    except OSError as error:
        check_free(place)
        msg = f"Could not write the bundle {place}: {error}."
        raise InputError(msg) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
