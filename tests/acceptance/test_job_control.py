"""A job is cancelled, resumed, watched and tried again, as a person does it."""

import json
import signal
import subprocess
from pathlib import Path

import redis
from PIL import Image

from tests.integration.processes import HANGTAG
from tests.until import until

from .place import Place, one_line


def test_a_job_is_cancelled_and_goes_on(place: Place, few) -> None:
    with place.stopped_worker():
        place.must(*few("paused"))
        kept = "Cancelled with 0 of 4 rows done, which are kept"
        assert place.must("jobs", "cancel", "paused") == f"{kept}; hangtag jobs resume paused goes on."
    watched = place.run("jobs", "watch", "paused")
    assert watched.returncode == 1
    assert "The job is cancelled, with 0 rows done; hangtag jobs resume paused goes on." in watched.stderr
    assert json.loads(place.run("jobs", "show", "paused", "--json").stdout)["state"] == "cancelled"
    assert not (place.jobs / "paused" / "parts").exists()
    assert place.must("jobs", "resume", "paused") == "paused goes on: 4 of 4 rows are to be done."
    place.must("jobs", "watch", "paused")
    assert len(place.rows("paused")) == 4
    assert place.must("jobs", "resume", "paused").startswith("paused is finished; hangtag jobs receipt paused")
    again = place.run("jobs", "cancel", "paused")
    assert (again.returncode, again.stderr) == (1, "hangtag: paused is finished, there is nothing to cancel.\n")


def test_an_unfinished_job_has_no_receipt_and_is_not_retried(place: Place, few) -> None:
    with place.stopped_worker():
        place.must(*few("waiting"))
        receipt = place.run("jobs", "receipt", "waiting")
        retry = place.run("jobs", "retry-failed", "waiting")
    watch = "waiting is not finished yet; watch it with hangtag jobs watch waiting"
    assert (receipt.returncode, receipt.stdout, receipt.stderr) == (1, "", f"hangtag: {watch}\n")
    assert retry.returncode == 1
    assert "Expected a finished job" in retry.stderr


def test_ctrl_c_stops_the_watching_not_the_job(place: Place, few) -> None:
    with place.stopped_worker(), redis.Redis.from_url(place.server.url) as client:
        place.must(*few("watched"))
        client.delete("hangtag:tick:4")
        process = subprocess.Popen(
            [*HANGTAG, "jobs", "watch", "watched"],
            env=place.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # shells ignore SIGINT in what they start with &, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - this test has no threads
        )
        until(lambda: client.exists("hangtag:tick:4") or process.poll() is not None, "it watches")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Watching stopped; the job goes on where workers are." in one_line(said)
    place.must("jobs", "watch", "watched")
    assert len(place.rows("watched")) == 4


def test_failed_rows_are_tried_again(place: Place, bundle: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30), "teal").save(tmp_path / name)
    (tmp_path / "broken.png").write_text("no photo")
    source = tmp_path / "list.txt"
    source.write_text("a.png\nlate.png\nbroken.png\nb.png\n")
    place.must("submit", source, "--model", bundle, "--job", "again")
    place.must("jobs", "watch", "again")
    before = place.rows("again")
    assert [row["error"] for row in before] == [None, "missing", "unreadable", None]
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "late.png")
    assert place.must("jobs", "retry-failed", "again").startswith("Trying 1 row again: 1 missing.")
    place.must("jobs", "watch", "again")
    after = place.rows("again")
    assert [row["error"] for row in after] == [None, None, "unreadable", None]
    assert after[1]["label"] == after[0]["label"]
    assert [after[row] for row in (0, 2, 3)] == [before[row] for row in (0, 2, 3)]
    assert "Retries: 1 of failed rows" in place.must("jobs", "show", "again")
    assert place.must("jobs", "retry-failed", "again") == "No failed row of it is worth another try."
