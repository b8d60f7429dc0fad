"""Processes killed with a chunk in hand."""

import os
import signal
from pathlib import Path

import pytest

from tests.until import until

from .farm import Farm
from .jobs import InHand, QueuedJob, assert_same, photo_names, write_list

SOON_S = 5.0
"""Far under the 10 s that a lease lasts, and the hours that Celery lets a message of a dead worker rest."""


def wait_for_another_try(job: QueuedJob, held: InHand) -> None:
    """Wait until another process works on the chunk, or has done it."""

    def taken() -> bool:
        again = any(now.chunk == held.chunk and now.pid != held.pid for now in job.in_hand())
        return again or held.chunk not in job.job.missing_chunks()

    until(taken, f"chunk {held.chunk} is started again", SOON_S)


@pytest.fixture
def names(catalogue: Path) -> list[str]:
    """Two chunks: nothing else waits in the queue before the one that is started again."""
    return photo_names(catalogue, 512)


def test_a_killed_childs_chunk_is_started_again_soon(farm: Farm, job: QueuedJob, names, expected) -> None:
    worker = farm.worker()
    held = job.freeze_one()
    os.kill(held.pid, signal.SIGKILL)
    wait_for_another_try(job, held)
    receipt = job.wait_for_end()
    assert worker.alive
    assert receipt.work.deaths == 1
    assert_same(job.rows(), expected(names))
    job.assert_one_part_a_chunk()


def test_a_killed_workers_chunks_go_to_another_soon(farm: Farm, catalogue: Path, bundle: Path, names, expected) -> None:
    workers = [farm.worker(slots=1), farm.worker(slots=1)]
    job = farm.submit(write_list(farm.folder / "list.txt", names), bundle, root=catalogue)
    held = job.freeze_one()
    next(worker for worker in workers if held.pid in worker.pids()).kill_all()
    wait_for_another_try(job, held)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))
    job.assert_one_part_a_chunk()
