"""A temporary file that nobody else sees, and that no end of the process leaves behind."""

import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO, cast

__all__ = ["UnnamedFile"]


class UnnamedFile:
    """A file in the system's folder for temporary files (``TMPDIR``, or ``/tmp``) that has no name there.

    Its room on the disk is free again when it is closed, when nobody holds it any more, or when the process ends,
    even by SIGKILL.

    Attributes:
        path: leads to it while it is open; of this process only (Linux's ``/proc/self/fd``).
        file: it, open for writing and reading.
    """

    def __init__(self) -> None:
        self.file = cast("BinaryIO", tempfile.TemporaryFile(prefix="hangtag-"))  # noqa: SIM115 - closed by close()
        self.path = Path(f"/proc/self/fd/{self.file.fileno()}")
        self._closing = weakref.finalize(self, self.file.close)

    def close(self) -> None:
        """Let go of it; nothing happens the second time."""
        self._closing()
