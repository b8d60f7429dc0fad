"""The largest resident memory of a command's processes, and the processor time of those that it started."""

import threading

import psutil
from resident import resident_mb


class PeakMemory:
    """Largest resident memory of any process of a command; how much that was is asked twenty times a second.

    Attributes:
        started_s: processor seconds, of the user and the system, of the processes that it started and waited for.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._peak = 0.0
        self.started_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            try:
                times = self._root.cpu_times()
                self.started_s = max(self.started_s, times.children_user + times.children_system)
                for process in [self._root, *self._root.children(recursive=True)]:
                    self._peak = max(self._peak, resident_mb("VmHWM", process.pid))
            except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError, StopIteration):  # it has just ended
                continue

    def stop(self) -> float:
        """Megabytes."""
        self._done.set()
        self._thread.join()
        return self._peak
