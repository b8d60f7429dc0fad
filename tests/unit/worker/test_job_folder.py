from pathlib import Path

import pytest

from models.errors import InputError, JobError
from worker.finish import RESULT_FILE
from worker.job import Job
from worker.label import earlier_job, job_folder


@pytest.fixture
def done_job(paper_job, commit_part) -> Job:
    job = paper_job(3)
    commit_part(job, 0, 1, 2)
    return job


def test_a_submitted_job_is_found_by_its_result_and_by_its_folder(done_job: Job) -> None:
    folder = Path(done_job.storage.place)
    assert earlier_job(folder).spec == done_job.spec
    (folder / RESULT_FILE).touch()
    assert earlier_job(folder / RESULT_FILE).spec == done_job.spec


def test_a_job_of_this_machine_is_found_by_its_result_and_by_its_folder(
    done_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tmp_path / "labels.csv"
    Path(done_job.storage.place).rename(job_folder(result))
    result.touch()
    assert earlier_job(result).spec == done_job.spec
    assert earlier_job(job_folder(result)).spec == done_job.spec
    monkeypatch.chdir(tmp_path)
    assert earlier_job(Path("labels.csv")).spec == done_job.spec


@pytest.mark.parametrize("name", ["labels.csv", "typo", "job/labels.csv", "/"])
def test_what_has_no_job_is_refused(done_job: Job, tmp_path: Path, name: str) -> None:
    (tmp_path / "labels.csv").touch()
    with pytest.raises(InputError, match=r"Expected an earlier result of hangtag label as --previous"):
        earlier_job(Path(done_job.storage.place).parent / name)


def test_a_job_that_is_not_done_is_refused(paper_job, commit_part) -> None:
    job = paper_job(3)
    commit_part(job, 0)
    with pytest.raises(JobError, match="to be finished; 3 of its 5 rows are not done"):
        earlier_job(Path(job.storage.place))


def test_a_damaged_job_is_refused(done_job: Job) -> None:
    done_job.storage.replace("job.json", b"{}")
    with pytest.raises(JobError, match=r"job\.json in .* is damaged"):
        earlier_job(Path(done_job.storage.place))
