"""Catalogues in S3, and the temporary file without a name that a fetched catalogue is kept in."""

import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from models.errors import InputError, MissingExtraError
from models.preprocess import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from models.storage.object_storage import ObjectStorage


def fetch_object(url: str, file: Path) -> None:
    """Write the object at an ``s3://`` URL into a file, a piece at a time.

    Raises:
        InputError: there is no such object.
        JobError: S3 refuses, or cannot be reached.
        MissingExtraError: the packages for S3 are not installed.
    """
    folder, _, name = url.rpartition("/")
    try:
        _storage(folder).fetch(name, file)
    except FileNotFoundError as error:
        msg = f"Expected a catalogue at {url}, S3 has nothing there; check the URL."
        raise InputError(msg) from error


def bucket_images(url: str, left_out: Counter[str]) -> Iterator[str]:
    """Keys of images, by their names, relative to an ``s3://`` URL, in S3's order (by their UTF-8 bytes).

    They are listed 1,000 at a time. Hidden files and folders are left out, as on a disk.

    Raises:
        JobError: S3 refuses, or cannot be reached.
        MissingExtraError: the packages for S3 are not installed.
    """
    for key in _storage(url).walk():
        path = PurePosixPath(key)
        if key.endswith("/") or any(part.startswith(".") for part in path.parts):
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            yield key
        else:
            left_out[path.suffix.lower()] += 1


def _storage(url: str) -> "ObjectStorage":
    try:
        from models.storage.object_storage import ObjectStorage
    except ImportError as error:
        msg = f"Catalogues in S3 need s3fs ({error}); pip install 'hangtag[s3]'."
        raise MissingExtraError(msg) from error
    return ObjectStorage(url)


class UnnamedFile:
    """A file in the system's folder for temporary files (``TMPDIR``, or ``/tmp``) that has no name there.

    Its disk space is freed when it is closed, or when the process ends, even by SIGKILL.

    Attributes:
        path: leads to it while it is open, in this process only (Linux's ``/proc/self/fd``).
        file: the open file, for writing and reading.
    """

    def __init__(self) -> None:
        self.file = cast("BinaryIO", tempfile.TemporaryFile(prefix="hangtag-"))  # noqa: SIM115 - closed by close()
        self.path = Path(f"/proc/self/fd/{self.file.fileno()}")
        self._closing = weakref.finalize(self, self.file.close)

    def close(self) -> None:
        """Close it; nothing happens the second time."""
        self._closing()
