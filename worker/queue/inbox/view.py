"""What a watch tells whoever started it."""

from typing import Protocol

from worker.queue.submit import Submitted

__all__ = ["InboxView"]


class InboxView(Protocol):
    """Shows what becomes of the files of a watched folder, each thing once."""

    def begins(self, folder: str, jobs: str) -> None:
        """From now on the folder is watched."""

    def submitted(self, what: str, submitted: Submitted) -> None:
        """A file, or so many photos, became a job."""

    def refused(self, file: str, reason: str) -> None:
        """There can be no job of a file as it is."""

    def trouble(self, what: str, reason: str) -> None:
        """Something failed that is tried again."""

    def left_out(self, file: str, reason: str) -> None:
        """A file is not looked at, nor are others of its kind."""

    def remark(self, line: str) -> None:
        """Something stands in the way of a job that is there."""
