import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest
from billiard.context import ForkContext, ForkProcess

from models.errors import ImageFault
from tests.until import until
from worker.job.parts import PhotoWork, Status
from worker.queue.metrics import (
    BYTES,
    CHUNK_SECONDS,
    CHUNK_SECONDS_SUM,
    CHUNKS,
    DIED,
    IMAGES,
    PHOTOS,
    Metrics,
    SharedCounts,
)

WORK = PhotoWork(downloaded=5, repeated=2, bytes=1000, decoded=3, download_s=2.5, decode_s=0.5, inference_s=0.25)


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """What is not nought."""
    return {(family.name, *labels): value for (family, labels), value in metrics.totals().items() if value}


def test_a_chunk_that_is_done_counts_its_rows_and_its_photos() -> None:
    metrics = Metrics()
    rows = Counter({(Status.LABELED, None): 5, (Status.REVIEW, None): 1, (Status.FAILED, ImageFault.DOWNLOAD.value): 2})
    for seconds in (0.2, 7.0):
        metrics.chunk_done(seconds, rows, WORK)
    assert counted(metrics) == {
        (IMAGES.name, "labeled", ""): 10,
        (IMAGES.name, "review", ""): 2,
        (IMAGES.name, "failed", "download"): 4,
        (PHOTOS.name, "downloaded"): 10,
        (PHOTOS.name, "decoded"): 6,
        (PHOTOS.name, "repeated"): 4,
        (BYTES.name,): 2000,
        ("hangtag_download_seconds_total",): 5,
        ("hangtag_decode_seconds_total",): 1,
        ("hangtag_inference_seconds_total",): 0.5,
        (CHUNKS.name, "done"): 2,
        (CHUNK_SECONDS.name, "0.25"): 1,
        (CHUNK_SECONDS.name, "10.0"): 1,
        (CHUNK_SECONDS_SUM.name,): 7.2,
    }


def test_other_ends_of_a_chunk_are_counted() -> None:
    metrics = Metrics()
    assert set(metrics.totals().values()) == {0.0}
    for family, *labels in ((CHUNKS, "failed"), (CHUNKS, "failed"), (CHUNKS, "given_up"), (DIED,)):
        metrics.count(family, *labels)
    assert counted(metrics) == {(CHUNKS.name, "failed"): 2, (CHUNKS.name, "given_up"): 1, (DIED.name,): 1}


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1e9])
def test_every_chunk_is_in_one_step_of_the_histogram(seconds: float) -> None:
    metrics = Metrics()
    metrics.chunk_done(seconds, Counter(), PhotoWork())
    assert sum(value for (family, _), value in metrics.totals().items() if family == CHUNK_SECONDS) == 1


def test_what_cannot_be_counted_is_told_and_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    metrics.chunk_done(1.0, Counter({(Status.FAILED, "sulking"): 1}), PhotoWork())
    assert counted(metrics) == {}
    assert [(record.levelno, record.event) for record in caplog.records] == [(logging.WARNING, "not_counted")]


def start(target: Callable[[], None], index: int) -> ForkProcess:
    """A process as Celery's pool forks it: with a number that the one in its place gets too."""
    process = ForkContext().Process(target=target)
    process.index = index
    process.start()
    return process


def test_the_processes_in_the_places_of_dead_ones_go_on_with_their_numbers() -> None:
    counts = SharedCounts(2)
    counts.add({1: 1})

    def count_and_die() -> None:
        counts.add({0: 5, 1: 0.5})
        os.kill(os.getpid(), signal.SIGKILL)

    for index in (0, 0, 1):
        start(count_and_die, index).join()
    assert counts.totals().tolist() == [15, 2.5]


def test_what_is_added_together_is_counted_together_or_not_at_all() -> None:
    """A process that counts without a pause is read all the while, and killed, again and again."""
    counts = SharedCounts(40)

    def count() -> None:
        while True:
            counts.add({0: 1, 39: 1})

    for _ in range(10):
        before = counts.totals()[0]
        process = start(count, 1)
        try:
            until(lambda before=before: counts.totals()[0] > before, "it counts")
            deadline = time.monotonic() + 0.05
            while time.monotonic() < deadline:
                totals = counts.totals()
                assert totals[0] == totals[39]
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        totals = counts.totals()
        assert totals[0] == totals[39]
