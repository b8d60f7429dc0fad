"""From what a person calls a place to the storage there."""

from pathlib import Path

from models.errors import InputError, MissingExtraError
from models.storage.storage import FolderStorage, Storage

__all__ = ["open_storage"]


def open_storage(place: str) -> Storage:
    """The storage at a folder's path, or at an ``s3://bucket/folder`` URL.

    Raises:
        InputError: it is neither.
        MissingExtraError: it is in S3, and what talks to S3 is not installed.
    """
    scheme, mark, _ = place.partition("://")
    if place and not mark:
        return FolderStorage(Path(place).resolve())
    if scheme != "s3":
        msg = f"Expected a folder's path or an s3://bucket/folder URL, got {place!r}."
        raise InputError(msg)
    try:
        from models.storage.object_storage import ObjectStorage
    except ImportError as error:
        msg = f"What lies in S3 needs s3fs ({error}); pip install 'hangtag[s3]'."
        raise MissingExtraError(msg) from error
    return ObjectStorage(place)
