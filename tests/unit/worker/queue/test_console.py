import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from models.errors import ImageFault, JobError
from models.process import Owner
from models.terminal import Console as TerminalConsole
from worker.job.job import CANCELLED
from worker.job.jobs import Jobs
from worker.queue.console import list_jobs, print_jobs, read_rows, show_job, submit_job, watch_job
from worker.queue.redis_state import Presence, RedisState
from worker.queue.settings import QueueSettings
from worker.request import JobOptions, SubmitRequest
from worker.results.finish import finish_job
from worker.results.progress import JobProgress, JobState


def test_one_job_that_cannot_be_read_hides_no_other(jobs: Jobs, paper_job) -> None:
    for name in ("a", "b", "c"):
        paper_job(2, name=name)
    jobs.storage("a").replace("receipt.json", b'{"of": "another version"}')
    jobs.storage("b").replace("parts/000000.r0.arrow", b"spoilt")
    said = StringIO()
    rows = read_rows(jobs, Console(file=said, width=300))
    assert [name for name, _, _ in rows] == ["c"]
    assert "a: receipt.json" in said.getvalue()
    assert "b: " in said.getvalue()


def test_a_failed_job_says_why_and_what_to_do_wherever_it_is_looked_at(
    settings: QueueSettings, jobs: Jobs, paper_job, commit_part, capsys: pytest.CaptureFixture[str]
) -> None:
    job = paper_job(2)
    commit_part(job, 0, 1)
    job.storage.commit(CANCELLED, b"A part is damaged.")
    list_jobs(settings, as_json=False)
    show_job("job", settings, as_json=False)
    with pytest.raises(JobError) as watched:
        watch_job("job", settings)
    words = (
        "The results of job cannot be merged: A part is damaged. Fix this, and run hangtag jobs resume job "
        f"--jobs {jobs.place}"
    )
    printed = capsys.readouterr()
    assert words in printed.err
    assert words in printed.out
    assert str(watched.value).startswith(words)
    assert [line.split()[3] for line in printed.out.splitlines() if line.startswith("│ job")] == ["failed"] * 2
    list_jobs(settings, as_json=True)
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["state"], record["reason"]) == ("failed", "A part is damaged.")


def test_photos_that_were_not_checked_are_a_warning(
    settings: QueueSettings, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(TerminalConsole, "say", lambda _, text, style="": said.append((text, style)))
    (tmp_path / "list.csv").write_text("image\nfar.jpg\n")
    (tmp_path / "empty").mkdir()
    options = JobOptions(image_root=str(tmp_path / "empty"))
    submit_job(SubmitRequest(tmp_path / "list.csv", bundle, options, name="far"), settings, as_json=False)
    styles = {style for words, style in said if words.startswith("The photos were not checked: ")}
    assert styles == {"yellow"}
    assert any(words.startswith("Watch it with") and not style for words, style in said)


LONG = "spring-2026-catalogue-of-the-whole-shop-20261124"


@pytest.mark.parametrize(("width", "whole"), [("80", False), (None, True)], ids=["on 80 columns", "in a pipe"])
def test_the_table_of_jobs_shows_figures_states_and_names_in_full(
    width: str | None, whole: bool, paper_job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width) if width else monkeypatch.delenv("COLUMNS", raising=False)
    job = paper_job(1)
    finished = JobProgress(JobState.FINISHED, 30_000, 30_000, 30_000, 0, 0.0)
    running = JobProgress(JobState.RUNNING, 1_000_000, 7_168, 3, 0, 410.0)
    print_jobs([(LONG, job, finished), ("newest", job, running)])
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    newest = ["newest", "running", "7,168 / 1,000,000", "1%", "410", "0:40:21", "3", "shop"]
    oldest = [LONG, "finished", "30,000 / 30,000", "100%", "", "", "30,000", "shop"]
    assert cells == [row if whole else [row[at] for at in (0, 1, 3, 6)] for row in (newest, oldest)]
    assert max(map(len, lines)) <= (200 if whole else 80)


def test_a_finished_job_shows_its_receipt_and_no_worker(
    settings: QueueSettings, state: RedisState, paper_job, commit_part, capsys: pytest.CaptureFixture[str]
) -> None:
    job = paper_job(2)
    commit_part(job, 0, 1, faults={0: ImageFault.MISSING}, deaths=1)
    state.announce(Presence(Owner.this(), 2, "0.1.0", "/srv/jobs", "cafe"))
    show_job("job", settings, as_json=False)
    assert "Worker: " in capsys.readouterr().out
    finish_job(job)
    watch_job("job", settings)
    followed = capsys.readouterr().out
    show_job("job", settings, as_json=False)
    shown = capsys.readouterr().out
    assert followed in shown
    assert "Worker" not in shown
    assert "2 attempts at chunks were repeated after" in shown
    show_job("job", settings, as_json=True)
    record = json.loads(capsys.readouterr().out)
    assert record["receipt"]["by_status"]["failed"] == 2
    assert [worker["slots"] for worker in record["workers"]] == [2]
