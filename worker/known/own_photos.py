"""What the processes of this machine have labelled of a job, for all of them."""

import os
import sqlite3
import uuid
from pathlib import Path
from typing import Final

from worker.known.photo_table import KEYED_TABLES
from worker.known.shelf import Shelf

__all__ = ["OWN_FILE", "open_own_photos"]

OWN_FILE: Final = "photos.sqlite"
_MAX_BYTES: Final = 1 << 30
"""About four million photos; then nothing more is added."""
_BUSY_S: Final = 2.0


def open_own_photos(folder: Path, model: str, max_bytes: int = _MAX_BYTES, busy_s: float = _BUSY_S) -> Shelf:
    """Open the photos in a folder that is held; made if need be.

    Args:
        folder: of the job on this machine.
        model: what results say that they are of.
        max_bytes: how large it may grow.
        busy_s: how long to wait for another process that is just adding.

    Raises:
        OSError: the system does not let us.
        sqlite3.Error: the database is damaged, or cannot be read now.
    """
    file = folder / OWN_FILE
    if not file.exists():
        _make(file)
    connection = sqlite3.connect(file, timeout=busy_s, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")  # the folder is of this boot: a power cut ends it with the machine
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={max_bytes // page_bytes}")
        connection.execute("SELECT 1 FROM photo LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return Shelf(connection, model, str(file))


def _make(file: Path) -> None:
    """Whole or not at all: other processes may be doing the same."""
    temporary = file.with_name(f".{uuid.uuid4().hex}.sqlite")
    try:
        connection = sqlite3.connect(temporary, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(KEYED_TABLES)
        finally:
            connection.close()
        os.link(temporary, file)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
