"""Files that are whole or absent, whatever happens while they are written."""

import os
import uuid
from pathlib import Path

__all__ = ["replace_file", "sync_file", "sync_folder", "write_beside", "write_synced"]


def replace_file(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it into it: readers see the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_beside(path, data).replace(path)
    sync_folder(path.parent)


def write_beside(final: Path, data: bytes) -> Path:
    """Write a file under a temporary name in the folder of its final place, and return that name."""
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
    try:
        write_synced(temporary, data)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """Wait until a file that something else wrote is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
