from io import StringIO

from rich.console import Console

from worker.jobs import Jobs
from worker.queue.console import read_rows


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
