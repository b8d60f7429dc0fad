"""Labelling on this machine: a process a core, each fed one chunk at a time."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.errors import JobError
from worker.job import Job
from worker.labelling.attempt import MAX_STRIKES, earlier_attempts
from worker.labelling.farm import Death, Farm

__all__ = ["run_pool"]


class _Strikes:
    """Deaths per chunk; one that names a photo not yet suspected is progress, and starts the count anew."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._deaths: Counter[int] = Counter()
        self._suspects: Counter[int] = Counter()

    def again(self, death: Death) -> bool:
        """Count a death; true, since a chunk is given out until it is done.

        Raises:
            JobError: the chunk keeps killing its process, and no photo in it is to blame.
        """
        chunks = [int(line) for line in death.lines]
        named = [self._names_a_photo(chunk) for chunk in chunks]
        if any(named):
            self._deaths.subtract({chunk: self._deaths[chunk] for chunk in chunks})
        self._deaths.update(chunks)
        worst = max(chunks, key=self._deaths.__getitem__)
        if self._deaths[worst] < MAX_STRIKES:
            return True
        msg = (
            f"Chunk {worst} ended its process {MAX_STRIKES} times (status {death.status}), and no photo in it is to "
            f"blame. What is done is kept; free some memory and run the same command again. {death.log}"
        )
        raise JobError(msg)

    def _names_a_photo(self, chunk: int) -> bool:
        """Whether a photo of a chunk is suspected that was not before."""
        suspects = len(earlier_attempts(self._job.storage, chunk).rows)
        grown = suspects > self._suspects[chunk]
        self._suspects[chunk] = suspects
        return grown


def run_pool(job: Job, model: Path, workers: int, on_done: Callable[[int], None]) -> int:
    """Label every chunk of a job that has no part yet.

    Args:
        job: the job.
        model: the bundle or ONNX file that the job is pinned to, wherever it is now.
        workers: how many processes, one thread each.
        on_done: called with the number of each chunk as it is committed.

    Returns:
        How many processes died and were replaced.

    Raises:
        JobError: a process cannot start, or keeps dying for a reason that is not in a photo.
    """

    def done(line: str, _: dict[str, Any]) -> None:
        on_done(int(line))

    module = ("worker.labelling.process", job.storage.place, str(model))
    with Farm(module, workers, job.storage.scratch / "logs", done, _Strikes(job).again) as farm:
        farm.run(str(chunk) for chunk in job.missing_chunks())
        return farm.deaths
