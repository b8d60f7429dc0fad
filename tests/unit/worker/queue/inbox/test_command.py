"""``hangtag watch``: its options, what it refuses at once, and what it says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.errors import HangtagError, InputError
from worker.queue.inbox.catalogues import Skipped
from worker.queue.inbox.console import InboxView
from worker.queue.inbox.inbox import submit_what_comes
from worker.queue.settings import QueueSettings
from worker.queue.submit import Submitted
from worker.request import JobOptions

from .watched_place import Watched


def begin(place: Watched, jobs: Path) -> None:
    settings = QueueSettings(jobs=str(jobs))
    submit_what_comes(place.request, settings, once=True, as_json=False)


def test_an_option_that_no_file_could_be_blamed_for_is_told_at_once(place: Watched, tmp_path: Path) -> None:
    wrong = {
        "HOST:PORT": {"options": JobOptions(allow_hosts=("nonsense",))},
        "encoding": {"encoding": "nonsense"},
        "Expected a name for a job": {"previous": "last night"},
        "of job monday": {"previous": "monday"},
        "bucket": {"image_root": "s3://"},
        "no folder at": {"image_root": tmp_path / "none"},
        "/none": {"model": tmp_path / "none"},
    }
    place.list("a.csv", "a.jpg")
    for said, changes in wrong.items():
        with pytest.raises(HangtagError, match=said):
            begin(place.each(**changes), tmp_path / "jobs")
    with pytest.raises(InputError, match="Expected a folder to watch"):
        begin(place.asked(folder=tmp_path / "none"), tmp_path / "jobs")
    with pytest.raises(InputError, match="lies in the watched folder"):
        begin(place, place.folder / "jobs")
    assert not list(tmp_path.glob("jobs/_watched"))


@pytest.mark.parametrize("option", ["--settle", "--every", "--download-timeout"])
def test_nobody_waits_for_ever(option: str) -> None:
    arguments = ["watch", "inbox", "--model", "shop", option, "inf"]
    done = CliRunner().invoke(make_app(["worker"]), arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert f"'{option}'" in done.output


def tell(submitted: Submitted, *, as_json: bool) -> None:
    view = InboxView(as_json=as_json)
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
        "Watching /mnt/inbox; jobs go to /mnt/jobs. Ctrl-C ends it.",
        "bad.csv was refused: It is empty.",
        "a.csv: The disk is away. It is tried again.",
        "a.xlsx is left out, and all others like it: .xlsx says nothing.",
        "No worker is there.",
    ]


def test_people_see_that_what_was_asked_for_can_be_promised_for_no_class(paper_job, capsys) -> None:
    job = paper_job(5)
    model = job.spec.model.model_copy(update={"precision": 0.99, "all_to_review": True})
    job = replace(job, spec=job.spec.model_copy(update={"model": model}))
    InboxView(as_json=False).submitted("nightly.csv", Submitted("nightly-1", job, new=True))
    assert capsys.readouterr().err == ("Precision 0.99 can be promised for no class: every photo goes to review.\n")


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


SKIPPED = [
    *(Skipped(Path(f"/mnt/in box/{night}.csv"), f"{night}-4e42") for night in range(7)),
    Skipped(Path("/mnt/in box/old.csv"), "old-17", "--image-root was /a, is /b"),
    Skipped(Path("/mnt/in box/bad.csv"), None, "It is empty."),
]


def test_people_see_which_files_are_skipped_and_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    view = InboxView(as_json=False)
    view.skipped(SKIPPED)
    view.skipped_photos(1200)
    assert capsys.readouterr().err.splitlines() == [
        "Skipped, since submitted before: 0.csv (job 0-4e42), 1.csv (job 1-4e42), 2.csv (job 2-4e42), 3.csv (job "
        "3-4e42), 4.csv (job 4-4e42) and 2 more. To have one labelled again, rename it: mv -n '/mnt/in box/0.csv' "
        "'/mnt/in box/0-again.csv'",
        "Skipped, since submitted before with other options (--image-root was /a, is /b): old.csv (job old-17). To "
        "have one labelled again with those of now, rename it: mv -n '/mnt/in box/old.csv' '/mnt/in box/old-again.csv'",
        "Skipped, since refused before: bad.csv: It is empty. Change the file, or the options.",
        "Skipped, since submitted before: 1,200 photos. To have one labelled again, touch it.",
    ]


@pytest.mark.parametrize("as_json", [True, False])
def test_cron_hears_only_of_files_whose_options_changed(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    view = InboxView(as_json=as_json, once=True)
    view.skipped(SKIPPED)
    view.skipped_photos(1200)
    out, err = capsys.readouterr()
    (line,) = (out or err).splitlines()
    if as_json:
        told = {"file": "old.csv", "job": "old-17", "reason": "--image-root was /a, is /b"}
        assert json.loads(line) == {"event": "skipped", **told}
    else:
        assert "old.csv (job old-17)" in line
