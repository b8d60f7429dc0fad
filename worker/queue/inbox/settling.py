"""When a file that appears may be taken. The clock is passed in: seconds that never run backwards."""

from collections.abc import Sequence

from worker.queue.inbox.files import Found

__all__ = ["Gathering", "Settling"]


class Settling:
    """Tells files that are whole from those that are still being written: size and time of writing stay the same.

    Args:
        settle_s: for how long.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._since: dict[str, tuple[int, int, float]] = {}

    def settled(self, files: Sequence[Found], now: float) -> list[Found]:
        """Those of the files that a look found which have been the same for long enough; the others are waited for.

        A file that was not among those of the last look begins anew.
        """
        self._since = {file.path: (file.size, file.mtime_ns, self._seen_since(file, now)) for file in files}
        return [file for file in files if now - self._since[file.path][2] >= self._settle_s]

    def _seen_since(self, file: Found, now: float) -> float:
        size, mtime_ns, since = self._since.get(file.path, (file.size, file.mtime_ns, now))
        return since if (size, mtime_ns) == (file.size, file.mtime_ns) else now


class Gathering:
    """Tells when photos that keep coming are enough for a job: when no more come, or the first has waited long.

    Args:
        longest_s: how long a photo waits for others at most.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._since: float | None = None

    def is_ripe(self, settled: int, unsettled: int, now: float) -> bool:
        """Whether the photos that have settled, of which there are so many, are to become a job now."""
        if not settled:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if unsettled and now - self._since < self._longest_s:
            return False
        self._since = None
        return True
