import json
from pathlib import Path

from models.storage.storage import FolderStorage
from worker.finish import finish_job
from worker.job import JobOptions
from worker.jobs import Jobs, check_name
from worker.queue.inbox.catalogues import CatalogueMarks, Content, last_finished
from worker.queue.inbox.request import EVERY_S, SETTLE_S, watched
from worker.queue.submit import SubmitRequest

FOLDER = Path("/mnt/inbox")


def content(sha256: str = "a" * 64, path: str = "nightly.csv", folder: Path = FOLDER) -> Content:
    return Content(folder, path, sha256)


def marks(tmp_path: Path, asked: str = "") -> CatalogueMarks:
    return CatalogueMarks(FolderStorage(tmp_path), asked)


def test_a_file_is_its_folder_its_name_and_its_content() -> None:
    others = [content("b" * 64), content(path="b.csv"), content(folder=Path("/mnt/other"))]
    assert len({one.job for one in (content(), content(), *others)}) == 4
    assert len({one.key for one in (content(), content(), *others)}) == 4


def test_every_file_gives_a_name_that_a_job_can_have() -> None:
    for path in ("nightly 2026.csv", "é.csv", "---.txt", f"{'x' * 200}.csv", "new\nline.csv"):
        check_name(content(path=path).job)


def test_what_was_taken_is_known_to_all(tmp_path: Path) -> None:
    assert not marks(tmp_path).is_known(content())
    marks(tmp_path).taken(content(), "job")
    assert marks(tmp_path).is_known(content())
    assert marks(tmp_path, "other").is_known(content())
    assert not marks(tmp_path).is_known(content("b" * 64))


def test_a_refusal_holds_for_what_was_asked_and_is_said_once(tmp_path: Path) -> None:
    assert marks(tmp_path, "one").refused(content(), "It is empty.")
    assert not marks(tmp_path, "one").refused(content(), "It is empty.")
    assert marks(tmp_path, "one").is_known(content())
    assert not marks(tmp_path, "other").is_known(content())
    assert marks(tmp_path).jobs_of(FOLDER, "nightly.csv") == []


def test_the_jobs_of_a_file_are_named_the_latest_first(tmp_path: Path) -> None:
    for number in range(3):
        marks(tmp_path).taken(content(f"{number}" * 64), f"job-{number}")
    marks(tmp_path).taken(content("4" * 64, "other.csv"), "other")
    marks(tmp_path).refused(content("5" * 64), "It is empty.")
    assert marks(tmp_path).jobs_of(FOLDER, "nightly.csv") == ["job-2", "job-1", "job-0"]


def test_marks_are_these_files(tmp_path: Path) -> None:
    """The format: whoever comes later must read it."""
    marks(tmp_path, "asked").taken(content(), "job")
    marks(tmp_path, "asked").refused(content("b" * 64), "It is empty.")
    written = {str(file.relative_to(tmp_path)): json.loads(file.read_text()) for file in tmp_path.rglob("*.json")}
    assert all(mark.pop("at") for mark in written.values())
    file = "files/d85f2c162f5aab5a5cb401f89fd6c1cd"
    assert written == {
        f"{file}/{'a' * 32}.json": {"folder": "/mnt/inbox", "file": "nightly.csv", "sha256": "a" * 64, "job": "job"},
        f"{file}/{'b' * 32}.000b207d5f38.refused.json": {
            "file": "nightly.csv",
            "sha256": "b" * 64,
            "reason": "It is empty.",
        },
    }


def test_the_last_finished_job_is_the_one(paper_job, commit_part, jobs: Jobs) -> None:
    paper_job(1, name="unfinished")
    for name in ("later", "earlier"):
        job = paper_job(1, name=name)
        commit_part(job, 0)
        finish_job(job)
    (paper_job(1, name="damaged")).storage.replace("job.json", b"{")
    assert last_finished(["gone", "damaged", "unfinished", "later", "earlier"], jobs) == "later"
    assert last_finished(["gone", "damaged", "unfinished"], jobs) is None


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
