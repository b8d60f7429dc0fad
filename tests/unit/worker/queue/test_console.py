from dataclasses import replace
from io import StringIO

import pytest
import redis
from rich.console import Console

from worker.jobs import Jobs
from worker.owner import Owner
from worker.queue.console import print_job, read_rows
from worker.queue.redis_state import Presence, RedisState


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
