"""A message that arrives more than once."""

from tests.until import until
from worker.priority import Priority
from worker.queue.app import CeleryPublisher, make_app

from .farm import Farm
from .jobs import QueuedJob, assert_same

TWICE_TOLD = 3


def send(farm: Farm, job: QueuedJob, chunk: int, times: int) -> None:
    with make_app(farm.settings) as app:
        for _ in range(times):
            CeleryPublisher(app).send_chunk(job.name, chunk, Priority.NORMAL)


def test_a_chunk_that_is_sent_again_and_again_adds_nothing(farm: Farm, job: QueuedJob, names, expected) -> None:
    farm.lose_waiting()
    send(farm, job, TWICE_TOLD, times=6)
    worker = farm.worker()
    job.wait_for_end()
    parts, result = job.parts(), (job.folder / "labels.parquet").stat()
    send(farm, job, TWICE_TOLD, times=4)
    until(farm.is_idle, "the messages sent afterwards are consumed")
    assert [event["chunk"] for event in worker.events("chunk_done")].count(TWICE_TOLD) == 1
    assert job.parts() == parts
    assert (job.folder / "labels.parquet").stat() == result
    job.assert_one_part_a_chunk()
    assert_same(job.rows(), expected(names))
