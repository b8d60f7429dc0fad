import hashlib
import json

import pytest

from worker.job.jobs import Jobs, check_name
from worker.queue.inbox.catalogues import last_finished
from worker.results.finish import finish_job

from .watched_place import Watched


def test_every_file_gives_a_name_that_a_job_can_have(place: Watched) -> None:
    for path in ("nightly 2026.csv", "é.csv", "---.txt", f"{'x' * 200}.csv", "new\nline.csv"):
        place.list(path, "a.jpg")
    place.settle(place.inbox())
    for _, name in place.heard.new:
        check_name(name)
    assert len({name for _, name in place.heard.new}) == 5


def digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def test_marks_are_these_files(place: Watched) -> None:
    """The format: whoever comes later must read it."""
    place.list("nightly.csv", "a.jpg")
    place.list("bad.csv")
    place.settle(place.inbox())
    place.settle(place.inbox())
    root, folder = place.root / "jobs" / "_watched", str(place.folder)
    written = {str(file.relative_to(root)): json.loads(file.read_text()) for file in root.rglob("*.json")}
    assert all(mark.pop("at") for mark in written.values())
    good, bad = (hashlib.sha256((place.folder / name).read_bytes()).hexdigest() for name in ("nightly.csv", "bad.csv"))
    each, taken = place.request.each, f"files/{digest(folder, 'nightly.csv')[:32]}/{good[:32]}.json"
    asked = digest(json.dumps([each.image_column, str(each.image_root), each.encoding, "", None]))[:12]
    job = f"nightly-{digest(folder, 'nightly.csv', good)[:12]}"
    assert written.pop(taken) == {"folder": folder, "file": "nightly.csv", "sha256": good, "job": job}
    ((refused, mark),) = written.items()
    assert refused == f"files/{digest(folder, 'bad.csv')[:32]}/{bad[:32]}.{asked}.refused.json"
    assert mark == {"file": "bad.csv", "sha256": bad, "reason": place.heard.refusals[0][1]}


def test_the_last_finished_job_is_the_one(paper_job, commit_part, jobs: Jobs) -> None:
    paper_job(1, name="unfinished")
    for name in ("later", "earlier"):
        job = paper_job(1, name=name)
        commit_part(job, 0)
        finish_job(job)
    (paper_job(1, name="damaged")).storage.replace("job.json", b"{")
    assert last_finished(["gone", "damaged", "unfinished", "later", "earlier"], jobs) == "later"
    assert last_finished(["gone", "damaged", "unfinished"], jobs) is None


def test_last_is_the_last_finished_job_of_the_same_file(place: Watched, commit_part) -> None:
    last = place.each(previous="last")
    assert last.request.previous is None
    inbox = last.inbox()
    for night in range(3):
        last.list("nightly.csv", f"{night}.jpg")
        last.list("other.csv", f"{night}.jpg")
        last.settle(inbox)
        for job in map(last.jobs.find, last.jobs.names()):
            if night == 0 and job.missing_chunks():
                commit_part(job, 0)
                finish_job(job)
    carried = [last.jobs.find(name).storage.exists("previous.sqlite") for _, name in last.heard.new]
    assert carried == [False, False, True, True, True, True]


@pytest.mark.parametrize("damaged", ["{", "[]", '{"job": "nightly"}', "\udcff"])
def test_a_mark_that_is_damaged_is_named_and_refuses_no_file(place: Watched, damaged: str) -> None:
    last = place.each(previous="last")
    inbox = last.inbox()
    last.list("nightly.csv", "0.jpg")
    last.settle(inbox)
    (mark,) = (last.root / "jobs" / "_watched").rglob("*.json")
    mark.write_text(damaged, errors="surrogateescape")
    last.list("nightly.csv", "1.jpg")
    last.settle(inbox)
    ((what, reason),) = last.heard.troubles
    assert (what, len(last.heard.refusals)) == ("nightly.csv", 0)
    assert str(mark) in reason
    mark.unlink()
    last.settle(inbox)
    assert len(last.heard.new) == 2
