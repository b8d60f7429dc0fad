"""Where a job lives. One verb writes: ``commit``, and the first commit of a key wins."""

import os
from pathlib import Path

from models.whole_file import sync_folder, write_beside

__all__ = ["FolderStorage"]


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
        temporary = write_beside(final, data)
        try:
            os.link(temporary, final)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        sync_folder(final.parent)
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
