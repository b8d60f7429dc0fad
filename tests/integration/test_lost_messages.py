"""Messages lost for good, as with a worker that is killed between taking one and noting so."""

import signal

from .farm import Farm
from .jobs import QueuedJob, assert_same


def test_messages_lost_before_a_worker_starts_are_sent_again(farm: Farm, job: QueuedJob, names, expected) -> None:
    assert farm.lose_waiting() == job.chunks
    farm.worker()
    job.wait_for_end()
    assert_same(job.rows(), expected(names))


def test_messages_lost_in_the_middle_are_sent_again(farm: Farm, job: QueuedJob, names, expected) -> None:
    worker = farm.worker()
    job.wait_for_parts(2)
    worker.signal_all(signal.SIGSTOP)
    assert farm.lose_waiting() > 0
    worker.signal_all(signal.SIGCONT)
    job.wait_for_end()
    assert_same(job.rows(), expected(names))
    job.assert_one_part_a_chunk()
