"""A person stops a job, and has it go on."""

import signal
import time
from collections import Counter

from tests.until import until

from .farm import Farm
from .jobs import QueuedJob, assert_same

SOON_S = 5.0
LOOKS_EACH_S = 1.0
"""How often a chunk in hand looks whether its job is cancelled."""


def test_cancel_stops_soon_and_resume_redoes_nothing(farm: Farm, job: QueuedJob, names, expected) -> None:
    worker = farm.worker()
    job.wait_for_parts(2)
    held = job.freeze_one()
    worker.signal_all(signal.SIGSTOP)
    frozen_at = time.monotonic()
    cancelled = farm.hangtag("jobs", "cancel", job.name)
    assert cancelled.returncode == 0, cancelled.stderr
    until(lambda: time.monotonic() > frozen_at + LOOKS_EACH_S, "the chunk in hand is due for a look at the mark")
    worker.signal_all(signal.SIGCONT)
    until(lambda: not job.in_hand() and farm.is_idle(), "nobody works on it any more", SOON_S)
    kept = job.parts()
    assert held.chunk in job.job.missing_chunks(), "a cancelled chunk was done to its end"
    watched = farm.hangtag("jobs", "watch", job.name)
    assert watched.returncode == 1
    assert f"hangtag jobs resume {job.name}" in watched.stderr
    assert job.parts() == kept
    resumed = farm.hangtag("jobs", "resume", job.name)
    assert resumed.returncode == 0, resumed.stderr
    job.wait_for_end()
    assert kept.items() <= job.parts().items()
    assert Counter(event["chunk"] for event in worker.events("chunk_done")) == Counter(range(job.chunks))
    assert_same(job.rows(), expected(names))
