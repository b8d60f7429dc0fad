from pathlib import Path

from worker.finish import finish_job
from worker.job import JobOptions
from worker.jobs import Jobs
from worker.queue.inbox.catalogues import first_finished
from worker.queue.inbox.request import EVERY_S, SETTLE_S, watched
from worker.queue.submit import SubmitRequest


def test_the_first_finished_job_is_the_one(paper_job, commit_part, jobs: Jobs) -> None:
    paper_job(1, name="unfinished")
    for name in ("later", "earlier"):
        job = paper_job(1, name=name)
        commit_part(job, 0)
        finish_job(job)
    (paper_job(1, name="damaged")).storage.replace("job.json", b"{")
    assert first_finished(["gone", "damaged", "unfinished", "later", "earlier"], jobs) == "later"
    assert first_finished(["gone", "damaged", "unfinished"], jobs) is None


def request(previous: str | None) -> SubmitRequest:
    return SubmitRequest("", Path("shop.onnx"), JobOptions(), name="", previous=previous)


def test_last_is_the_word_for_it(tmp_path: Path) -> None:
    last = watched(tmp_path, request("last"), None, None, None)
    assert (last.previous_last, last.settle_s, last.every_s) == (True, SETTLE_S, EVERY_S)
    assert last.of(tmp_path, "job", "before").previous == "before"
    assert last.of(tmp_path, "job", None).previous is None
    named = watched(tmp_path, request("spring"), None, 0.0, 1.0)
    assert (named.previous_last, named.settle_s, named.every_s) == (False, 0.0, 1.0)
    assert named.of(tmp_path, "job", None).previous == "spring"
