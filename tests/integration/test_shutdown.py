"""A supervisor tells a worker to stop."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.until import until
from worker.queue.messages import parse_message

from .farm import Farm
from .jobs import QueuedJob, assert_same, write_list
from .processes import WorkerProcess, with_bad_formats

GRACE_S = 8


def terminate_all(worker: WorkerProcess) -> None:
    """What systemd does, unless it is told otherwise."""
    worker.signal_all(signal.SIGTERM)


def assert_all_missing_chunks_wait(farm: Farm, job: QueuedJob) -> None:
    """The worker that ended holds none back; one that is done or waits twice is harmless."""
    messages = [parse_message(text) for text in farm.waiting()]
    missing = set(job.job.missing_chunks())
    assert missing
    assert {message.chunk for message in messages if message} >= missing


@pytest.mark.parametrize("tell", [WorkerProcess.terminate, terminate_all])
def test_a_worker_ends_its_chunks_and_leaves_the_others_to_the_next(
    farm: Farm, job: QueuedJob, names, expected, tell: Callable[[WorkerProcess], None]
) -> None:
    worker = farm.worker(env={"HANGTAG_GRACE_S": "300"})
    job.wait_for_parts(2)
    in_hand = until(job.in_hand, "a chunk is in hand")
    tell(worker)
    assert worker.process.wait(30) == 0, "it does not wait longer than for its chunks"
    assert worker.events("worker_stops")
    assert worker.events("worker_ends")
    assert not {held.chunk for held in in_hand} & set(job.job.missing_chunks())
    assert not job.in_hand()
    assert_all_missing_chunks_wait(farm, job)
    farm.worker()
    job.wait_for_end()
    assert_same(job.rows(), expected(names))
    job.assert_one_part_a_chunk()


def test_ctrl_c_ends_a_worker_with_its_own_status(farm: Farm) -> None:
    worker = farm.worker()
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(30) == 130
    (ends,) = worker.events("worker_ends")
    assert ends["status"] == 130


def test_a_chunk_that_takes_longer_than_the_grace_time_is_handed_back(
    farm: Farm, catalogue: Path, bundle: Path, names, truth
) -> None:
    """The photo on which it hangs is exchanged for a good one before the next worker starts."""
    slow = farm.folder / "slow.jpg"
    slow.write_bytes(b"HANG")
    photos = [str(slow), *(str(catalogue / name) for name in names[:600])]
    job = farm.submit(write_list(farm.folder / "list.txt", photos), bundle, root=Path("/"), timeout_s=300.0)
    worker = farm.worker(env={"HANGTAG_GRACE_S": str(GRACE_S), **with_bad_formats()})
    until(lambda: job.job.missing_chunks() == [0], "only the chunk that hangs is left")
    worker.terminate()
    assert worker.process.wait(GRACE_S) == 0
    assert_all_missing_chunks_wait(farm, job)
    good = catalogue / names[0]
    slow.write_bytes(good.read_bytes())
    farm.worker()
    job.wait_for_end()
    assert_same(job.rows(), [{"image": p, **truth[n]} for p, n in zip(photos, [names[0], *names[:600]], strict=True)])
