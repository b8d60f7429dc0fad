import json

import pytest

from worker.queue.inbox.console import inbox_view
from worker.queue.submit import Submitted


def tell(submitted: Submitted, *, as_json: bool) -> None:
    view = inbox_view(as_json=as_json)
    view.begins("/mnt/inbox", "/mnt/jobs")
    view.submitted("[b]nightly[/b].csv", submitted)
    view.refused("bad.csv", "It is empty.")
    view.trouble("a.csv", "The disk is away.")
    view.left_out("a.xlsx", ".xlsx says nothing")
    view.remark("No worker is there.")


def test_people_see_jobs_and_on_stderr_what_is_wrong(paper_job, capsys: pytest.CaptureFixture[str]) -> None:
    tell(Submitted("nightly-1", paper_job(5), new=True), as_json=False)
    out, err = capsys.readouterr()
    assert out == "[b]nightly[/b].csv → nightly-1, 9 rows in 5 chunks\n"
    assert err.splitlines() == [
        "Watching /mnt/inbox for /mnt/jobs; Ctrl-C ends it.",
        "bad.csv was refused: It is empty.",
        "a.csv: The disk is away. It is tried again.",
        "a.xlsx is left out, and all others like it: .xlsx says nothing.",
        "No worker is there.",
    ]


def test_a_job_that_was_there_says_so(paper_job, capsys: pytest.CaptureFixture[str]) -> None:
    inbox_view(as_json=False).submitted("a.csv", Submitted("a-1", paper_job(1, chunk_rows=2), new=False))
    assert capsys.readouterr().out == "a.csv → a-1, 1 row in 1 chunk (was submitted before)\n"


def test_machines_see_a_line_an_event(paper_job, capsys: pytest.CaptureFixture[str]) -> None:
    job = paper_job(5)
    tell(Submitted("nightly-1", job, new=True), as_json=True)
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines] == ["watching", "submitted", "refused", "trouble", "left_out", "remark"]
    assert lines[1] == {
        "event": "submitted",
        "file": "[b]nightly[/b].csv",
        "job": "nightly-1",
        "new": True,
        "folder": job.storage.place,
        "rows": 9,
        "chunks": 5,
    }
    assert err == ""
