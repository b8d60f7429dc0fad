from dataclasses import replace
from io import StringIO

import pytest
import redis
from rich.console import Console

from models.process_identity import Owner
from worker.job.job import CANCELLED
from worker.job.jobs import Jobs
from worker.queue.console import print_job, print_jobs, read_rows
from worker.queue.redis_state import Presence, RedisState
from worker.results.finish import finish_job
from worker.results.progress import JobProgress, JobState


def test_one_job_that_cannot_be_read_hides_no_other(jobs: Jobs, paper_job) -> None:
    for name in ("a", "b", "c"):
        paper_job(2, name=name)
    jobs.storage("a").replace("receipt.json", b'{"of": "another version"}')
    jobs.storage("b").replace("parts/000000.r0.parquet", b"spoilt")
    said = StringIO()
    rows = read_rows(jobs, Console(file=said, width=300))
    assert [name for name, _, _ in rows] == ["c"]
    assert "a: receipt.json" in said.getvalue()
    assert "b: " in said.getvalue()


def test_what_others_write_to_redis_does_nothing_to_a_terminal(
    state: RedisState, client: redis.Redis, paper_job, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "no \x1b]0;folder\x07 at all"
    client.set("hangtag:trouble:job:shop\x1b[2J", evil)
    state.announce(Presence(replace(Owner.this(), host=evil), 2, evil, evil, "cafe"))
    print_job("job", paper_job(1), state, as_json=False)
    said = capsys.readouterr().out
    assert "\x1b]" not in said
    assert "\x1b[2J" not in said
    assert " ".join(said.split()).count(r"no \x1b]0;folder\x07 at all") == 4


def test_a_job_that_fell_back_says_so_and_why(state: RedisState, paper_job, capsys: pytest.CaptureFixture[str]) -> None:
    job = paper_job(1)
    int8 = job.spec.model.model_copy(update={"variant": "int8", "reference": "shop/1/int8@aaaaaaaaaaaa"})
    job = replace(job, spec=job.spec.model_copy(update={"model": int8, "fallback": job.spec.model}))
    job.choose(job.spec.fallback, "shop-7: probabilities differ by 0.3")
    print_job("job", job, state, as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "Variant: float32, chosen on shop-7: probabilities differ by 0.3" in said
    assert "Model: shop/1/float32@aaaaaaaaaaaa" in said


LONG = "spring-2026-catalogue-of-the-whole-shop-20261124"


@pytest.mark.parametrize(("width", "whole"), [("80", False), (None, True)], ids=["on 80 columns", "in a pipe"])
def test_the_table_of_jobs_shows_figures_states_and_names_in_full(
    width: str | None, whole: bool, paper_job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width) if width else monkeypatch.delenv("COLUMNS", raising=False)
    job = paper_job(1)
    finished = JobProgress(JobState.FINISHED, 30_000, 30_000, 30_000, 0, 0.0, 0.0)
    running = JobProgress(JobState.RUNNING, 1_000_000, 7_168, 3, 0, 412.0, 410.0)
    print_jobs([(LONG, job, finished), ("newest", job, running)], "", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells[0][:4] == ["newest", "running", "7,168 / 1,000,000", "1%"], "the newest first"
    assert cells[1][1:4] == ["finished", "30,000 / 30,000", "100%"]
    assert "".join(row[0] for row in cells[1:]) == LONG
    more = [["412", "0:40:21", "3", "shop"], ["", "", "30,000", "shop"]]
    assert [row[4:] for row in cells[:2]] == (more if whole else [row[1:3] for row in more])
    assert max(map(len, lines)) <= (200 if whole else 80)


@pytest.mark.parametrize("mark", [None, CANCELLED], ids=["finished", "cancelled"])
def test_of_a_job_that_is_over_nothing_is_said_of_workers(
    state: RedisState, mark: str | None, paper_job, commit_part, capsys: pytest.CaptureFixture[str]
) -> None:
    job = paper_job(1)
    print_job("job", job, state, as_json=False)
    assert "No worker is there" in capsys.readouterr().out
    if mark:
        job.storage.commit(mark, b"")
    else:
        commit_part(job, 0, deaths=1)
        finish_job(job)
    state.announce(Presence(Owner.this(), 2, "0.1.0", "/srv/jobs", "cafe"))
    print_job("job", job, state, as_json=False)
    said = capsys.readouterr().out
    assert "orker" not in said
    assert ("Crashes: 1 process died, and another did its rows again" in said) == (mark is None)
