"""Storage of jobs and models. ``commit`` writes data that never changes: the first writer of a key wins."""

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from models.errors import InputError, MissingExtraError
from models.whole_file import Link, link_new, replace_file, sync_folder, write_beside

_MEANWHILE: Final = (errno.ENOENT, errno.ENOTEMPTY)


@dataclass(frozen=True)
class Entry:
    """A key directly in a folder: its name without the folder, and the time of writing (seconds since 1970)."""

    name: str
    modified: float


class Storage(Protocol):
    """Stores bytes under keys, for jobs and registries. Keys are relative paths with ``/``."""

    def __hash__(self) -> int:
        """Storages with the same path or URL are equal, so a storage can be a cache key."""

    @property
    def place(self) -> str:
        """The folder's path or the ``s3://`` URL."""

    @property
    def scratch(self) -> Path:
        """A folder on this machine for local files, such as lock files."""

    def commit(self, key: str, data: bytes) -> bool:
        """Write ``data`` under ``key`` atomically.

        Returns:
            Whether this call wrote the data. Existing data under ``key`` is not changed.
        """

    def replace(self, key: str, data: bytes) -> None:
        """Write ``data`` under ``key`` atomically. Replaces existing data."""

    def upload(self, key: str, file: Path) -> None:
        """Move a local file to ``key`` atomically. Replaces existing data."""

    def delete(self, key: str) -> None:
        """Remove ``key``, if it exists."""

    def clear(self, folder: str) -> None:
        """Remove ``folder`` and its contents, file by file, if it exists."""

    def read(self, key: str) -> bytes:
        """The bytes under ``key``. Raises ``FileNotFoundError``."""

    def source(self, key: str) -> Path | BinaryIO:
        """The bytes under ``key``, in a form that pyarrow opens. Reading may raise ``FileNotFoundError``."""

    def local(self, key: str, folder: Path) -> Path:
        """A local file with the bytes under ``key``.

        Raises ``FileNotFoundError``, at the latest when the file is read. The bytes under this key must never change.
        Remote bytes are copied into ``folder`` once.
        """

    def on_disk(self, folder: str) -> Path | None:
        """The storage as a local folder, which may not exist yet. None if the storage is not on a disk."""

    def exists(self, key: str) -> bool:
        """Whether ``key`` exists."""

    def entries(self, folder: str) -> list[Entry]:
        """The keys directly under ``folder``, in any order. Empty if the folder does not exist."""

    def names(self, folder: str) -> list[str]:
        """The names of :meth:`entries`, without the times. Faster on a disk."""

    def folders(self) -> list[str]:
        """Names of the folders directly under the root, in order."""

    def child(self, folder: str) -> "Storage":
        """A storage in a subfolder of this storage."""


@dataclass(frozen=True)
class FolderStorage:
    """A folder on a local or shared disk.

    Attributes:
        root: the folder, created by the first write.
        link: a function that makes hard links.
    """

    root: Path
    link: Link = field(default=os.link, compare=False, repr=False, kw_only=True)

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self.root)

    @property
    def scratch(self) -> Path:
        """The folder itself. Machines with a shared disk see each other's files."""
        return self.root

    def commit(self, key: str, data: bytes) -> bool:
        """See :meth:`Storage.commit`. Writes a temporary file, calls fsync, and links the file to its final name."""
        final = self.root / key
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = write_beside(final, data)
        try:
            won = link_new(temporary, final, self.link)
        finally:
            temporary.unlink(missing_ok=True)
        if won:
            sync_folder(final.parent)
        return won

    def replace(self, key: str, data: bytes) -> None:
        """See :meth:`Storage.replace`."""
        replace_file(self.root / key, data)

    def upload(self, key: str, file: Path) -> None:
        """See :meth:`Storage.upload`. The file must be on the storage's disk."""
        final = self.root / key
        file.replace(final)
        sync_folder(final.parent)

    def delete(self, key: str) -> None:
        """See :meth:`Storage.delete`."""
        (self.root / key).unlink(missing_ok=True)

    def clear(self, folder: str) -> None:
        """See :meth:`Storage.clear`. Other processes may clear the folder, or write to it, at the same time."""
        place = self.root / folder
        while place.exists():
            try:
                shutil.rmtree(place)
            except OSError as error:
                if error.errno not in _MEANWHILE:
                    raise

    def read(self, key: str) -> bytes:
        """See :meth:`Storage.read`."""
        return (self.root / key).read_bytes()

    def source(self, key: str) -> Path:
        """See :meth:`Storage.source`."""
        return self.root / key

    def local(self, key: str, folder: Path) -> Path:
        """See :meth:`Storage.local`."""
        return self.root / key

    def on_disk(self, folder: str) -> Path:
        """See :meth:`Storage.on_disk`."""
        return self.root / folder

    def exists(self, key: str) -> bool:
        """See :meth:`Storage.exists`."""
        return (self.root / key).exists()

    def entries(self, folder: str) -> list[Entry]:
        """See :meth:`Storage.entries`."""
        return [Entry(entry.name, entry.stat().st_mtime) for entry in self._scan(folder)]

    def names(self, folder: str) -> list[str]:
        """See :meth:`Storage.names`."""
        return [entry.name for entry in self._scan(folder)]

    def folders(self) -> list[str]:
        """See :meth:`Storage.folders`."""
        return sorted(entry.name for entry in self._scan("") if entry.is_dir())

    def child(self, folder: str) -> "FolderStorage":
        """See :meth:`Storage.child`."""
        return FolderStorage(self.root / folder, link=self.link)

    def _scan(self, folder: str) -> list["os.DirEntry[str]"]:
        try:
            return [entry for entry in os.scandir(self.root / folder) if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []


def open_storage(place: str) -> Storage:
    """The storage at a folder's path, or at an ``s3://bucket/folder`` URL. Raises InputError, MissingExtraError."""
    scheme, mark, _ = place.partition("://")
    if place and not mark:
        return FolderStorage(Path(place).resolve())
    if scheme != "s3":
        msg = f"Expected a folder's path or an s3://bucket/folder URL, got {place!r}."
        raise InputError(msg)
    try:
        from models.storage.object_storage import ObjectStorage
    except ImportError as error:
        msg = f"Reading and writing S3 needs s3fs ({error}); pip install 'hangtag[s3]'."
        raise MissingExtraError(msg) from error
    return ObjectStorage(place)
