"""Jobs that the page starts without Redis: labelled here, one after another; cancelled, resumed, retried."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import JobError
from tests.until import until
from web.jobs import JobIndex, WebJob, result_id
from web.run_jobs import JobRunner, LocalQueue, NewJob
from web.settings import WebSettings
from worker.job.receipt import JobReceipt, job_receipt
from worker.label import label
from worker.request import JobOptions, LabelRequest

WAIT = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[JobRunner]:
    runner = runner_of(tmp_path)
    yield runner
    runner.close()


def runner_of(folder: Path, *results: Path) -> JobRunner:
    settings = WebSettings(jobs=str(folder / "jobs"), results=list(results))
    return JobRunner(settings, JobIndex(settings.jobs, results))


def finished(runner: JobRunner, job: WebJob, retry: int = 0) -> JobReceipt:
    def receipt() -> JobReceipt | None:
        remark = runner.local.remark(job.id) or ""
        assert not remark.startswith("Labelling stopped"), remark
        found = job_receipt(job.job)
        return found if found and found.retry == retry else None

    return until(receipt, f"{job.id} is finished", 90)


def some(drawn: Path, count: int) -> list[str]:
    return sorted(str(photo.relative_to(drawn)) for photo in drawn.rglob("*.jpg"))[:count]


def test_a_job_without_redis_is_labelled_here_and_its_failed_rows_are_retried(
    runner: JobRunner, bundle: Path, drawn: Path, tmp_path: Path
) -> None:
    source = tmp_path / "products.csv"
    source.write_text("image,sku\n" + "".join(f"{name},{n}\n" for n, name in enumerate([*some(drawn, 6), "gone.jpg"])))
    new = NewJob(source=str(source), name="spring", image_root=str(drawn), group_column="sku")
    job, _ = runner.start_job(new, str(bundle))
    assert (job.id, job.job.spec.rows, job.job.spec.confined) == ("spring", 7, True)
    receipt = finished(runner, job)
    assert (receipt.rows, receipt.errors["missing"].count) == (7, 1)
    assert (tmp_path / "jobs" / "spring" / "labels.parquet").is_file()
    with pytest.raises(JobError, match="spring"):
        runner.cancel_job(job)
    assert runner.retry_job(job) == {"missing": 1}
    finished(runner, job, retry=1)


@pytest.mark.rest
def test_a_job_that_a_killed_server_left_says_so_and_can_be_resumed(
    runner: JobRunner, bundle: Path, drawn: Path, tmp_path: Path
) -> None:
    runner.local.add("first", WAIT)
    job, _ = runner.start_job(NewJob(source=str(drawn), name="second"), str(bundle))
    after = runner_of(tmp_path)
    assert after.remarks(job) == ["No process is labelling this job. Resume it: finished rows are kept."]
    after.resume_job(job)
    finished(after, job)
    after.close()


def test_a_process_that_ends_badly_is_told_and_the_next_begins() -> None:
    queue = LocalQueue()
    queue.add("bad", [sys.executable, "-c", "import sys; sys.exit('no memory')"])
    queue.add("good", WAIT)
    until(lambda: queue.is_running("good"), "the next job runs")
    assert queue.remark("bad") == "Labelling stopped: no memory"
    assert queue.remark("good") == ""
    assert queue.remark("never") is None
    queue.close()
    until(lambda: not queue.knows("good"), "the process has ended")


@pytest.mark.rest
@pytest.mark.parametrize("named", [False, True])
def test_failed_rows_of_hangtag_label_are_retried_with_its_models_and_options(
    bundle: Path, drawn: Path, tmp_path: Path, named: bool
) -> None:
    source, output = tmp_path / "list.txt", tmp_path / "labels.csv"
    source.write_text("".join(f"{name}\n" for name in [*some(drawn, 3), "gone.jpg"]))
    models = {"category": bundle, "colour": bundle} if named else bundle
    options = JobOptions(prefix="own_", threshold=0.4, image_root=str(drawn))
    request = LabelRequest(source, models, options, output=output, workers=1)
    assert label(request, lambda *_: None).errors["missing"].count == 1
    before = output.read_text()
    runner = runner_of(tmp_path, output)
    job = runner._jobs.find(result_id(output))
    assert job.result == output
    assert [question.job.name for question in job.questions] == (list(models) if named else [])
    assert runner.retry_job(job) == {"missing": 1}
    finished(runner, job, retry=1)
    assert output.read_text() == before
    with pytest.raises(JobError, match=output.name):
        runner.resume_job(job)
    runner.close()
