"""What the queue's commands say of jobs that labelled nothing, and of cancelled ones."""

import json

import pytest

from models.errors import ImageFault, JobError
from worker.job.job import CANCELLED
from worker.queue.actions import show_receipt, watch_job
from worker.queue.settings import QueueSettings


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (ImageFault.MISSING, r"nothing is at .*/0\.jpg, nor .*; or hangtag jobs retry-failed job .* once the photos"),
        (ImageFault.UNREADABLE, "see error_message in .*labels.parquet"),
    ],
)
def test_watching_a_job_of_which_no_photo_could_be_labelled_fails(
    settings: QueueSettings, paper_job, commit_part, capsys: pytest.CaptureFixture[str], fault: ImageFault, why: str
) -> None:
    commit_part(paper_job(2), 0, 1, faults={0: fault, 1: fault})
    with pytest.raises(JobError, match=f"^None of the 3 photos could be labelled: {why}"):
        watch_job("job", settings, as_json=True)
    assert json.loads(capsys.readouterr().out)["by_status"]["failed"] == 3
    show_receipt("job", settings, as_json=False)
    assert "None of the 3 photos could be labelled" in capsys.readouterr().err


def test_watching_a_job_of_which_a_photo_could_be_labelled_is_done(
    settings: QueueSettings, paper_job, commit_part, capsys: pytest.CaptureFixture[str]
) -> None:
    commit_part(paper_job(2), 0, 1, faults={0: ImageFault.MISSING})
    watch_job("job", settings)
    assert "could be labelled" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("ask", [show_receipt, watch_job])
def test_a_cancelled_job_is_to_be_resumed(settings: QueueSettings, paper_job, commit_part, ask) -> None:
    job = paper_job(2)
    commit_part(job, 0)
    job.storage.commit(CANCELLED, b"")
    with pytest.raises(JobError, match=r"^job is cancelled, with 2 rows done; hangtag jobs resume job .*goes on"):
        ask("job", settings, as_json=False)
