"""Both ways to start a worker."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.until import until
from worker.results import part_work

from .farm import Farm
from .jobs import QueuedJob, assert_same
from .processes import WorkerProcess


def mapped(pid: int) -> str:
    """The files that a process has in its memory, libraries among them; none where it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.parametrize("start", [Farm.worker, Farm.celery_worker])
def test_it_labels_without_tensorflow_and_ends_when_told(
    farm: Farm, job: QueuedJob, names, expected, start: Callable[[Farm], WorkerProcess]
) -> None:
    worker = start(farm)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))
    memory = [mapped(pid) for pid in worker.pids()]
    assert len({part_work(pq.read_schema(part)).worker for part in (job.folder / "parts").iterdir()}) == 2
    assert any("onnxruntime" in text for text in memory)
    assert not any(library in text for text in memory for library in ("tensorflow", "h5py"))
    until(farm.is_idle, "the last message is acknowledged")
    worker.terminate()
    assert worker.process.wait(30) == 0
