"""Where a job lives. One verb writes: ``commit``, and the first commit of a key wins."""

import os
import uuid
from pathlib import Path

__all__ = ["FolderStorage", "replace_file"]


class FolderStorage:
    """A job in a folder of a local or shared disk.

    Args:
        root: the job's folder; made when something is first written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def commit(self, key: str, data: bytes) -> bool:
        """Write ``data`` under ``key``, whole or not at all.

        Returns:
            Whether this call wrote it; ``False`` when the key was there already, and stays as it was.
        """
        final = self.root / key
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = _write_beside(final, data)
        try:
            os.link(temporary, final)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        _sync_folder(final.parent)
        return True

    def read(self, key: str) -> bytes:
        """The bytes under ``key``; ``FileNotFoundError`` where there are none."""
        return (self.root / key).read_bytes()

    def exists(self, key: str) -> bool:
        """Whether ``key`` has been committed."""
        return (self.root / key).exists()

    def names(self, folder: str) -> list[str]:
        """Names of the keys directly under ``folder``, without it; none where it does not exist."""
        try:
            return [entry.name for entry in os.scandir(self.root / folder) if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []


def replace_file(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it into it: readers see the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_beside(path, data).replace(path)
    _sync_folder(path.parent)


def _write_beside(final: Path, data: bytes) -> Path:
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
