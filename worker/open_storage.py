"""From what a person calls a place to the storage there."""

from pathlib import Path

from worker.storage import FolderStorage, Storage

__all__ = ["open_storage"]


def open_storage(place: str) -> Storage:
    """The storage at a folder's path."""
    return FolderStorage(Path(place).resolve())
