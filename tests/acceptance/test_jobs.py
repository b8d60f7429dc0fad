"""A job is submitted, watched, shown, cancelled and resumed, as a person does it, and what errors say."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.acceptance.conftest import SPRING_ROWS
from tests.command import HANGTAG, one_line
from tests.integration.farm import Farm
from tests.integration.jobs import assert_same
from tests.until import until
from worker.queue.private_redis import PrivateRedis
from worker.receipt import Receipt


def test_a_job_is_submitted_watched_and_shown(farm: Farm, spring: tuple[str, str]) -> None:
    submitted, watched = spring
    assert submitted.startswith(f"Submitted: spring, {SPRING_ROWS} rows in 3 chunks")
    assert submitted.endswith("Photos are in the column 'image'. Watch it with: hangtag jobs watch spring")
    assert f"Results: {farm.jobs}/spring/labels.parquet" in watched
    assert f"Page: {farm.jobs}/spring/receipt.html" in watched
    assert f"{SPRING_ROWS} images in" in watched
    assert "missing, row 598, gone.jpg" in watched


def test_the_result_is_that_of_hangtag_label(farm: Farm, spring, products: Path, catalogue: Path, bundle: Path) -> None:
    output = farm.folder / "labels.parquet"
    farm.must("label", products, "--model", bundle, "--image-root", catalogue, "--output", output, "--workers", 2)
    assert pq.read_schema(farm.jobs / "spring" / "labels.parquet") == pq.read_schema(output)
    assert_same(farm.job("spring").rows(), pq.read_table(output).to_pylist())


def test_the_same_job_again_is_the_one_that_is_there(
    farm: Farm, spring, products: Path, catalogue: Path, bundle: Path
) -> None:
    options = ("--model", bundle, "--image-root", catalogue, "--job", "spring")
    assert farm.must("submit", products, *options).startswith("Was submitted before: spring, 600 rows")
    record = json.loads(farm.hangtag("submit", products, *options, "--json").stdout)
    assert record == {
        "job": "spring",
        "new": False,
        "folder": str(farm.jobs / "spring"),
        "rows": SPRING_ROWS,
        "chunks": 3,
        "model": str(bundle),
    }
    other = farm.hangtag("submit", products, *options, "--top-k", 1)
    assert (other.returncode, other.stdout) == (1, "")
    assert "There is a job spring already" in other.stderr


def test_jobs_are_a_table(farm: Farm, spring) -> None:
    (line,) = [line for line in farm.hangtag("jobs").stdout.splitlines() if "spring" in line]
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells[:4] == ["spring", "finished", "600 / 600", "100%"]
    assert cells[7] == farm.job("spring").rows()[0]["model"]


def test_jobs_are_json(farm: Farm, spring) -> None:
    (record,) = [job for job in json.loads(farm.hangtag("jobs", "--json").stdout) if job["job"] == "spring"]
    failed = sum(row["status"] == "failed" for row in farm.job("spring").rows())
    assert failed >= 3
    expected = {
        "state": "finished",
        "rows": SPRING_ROWS,
        "done": SPRING_ROWS,
        "failed": failed,
        "deaths": 0,
        "seconds_left": None,
    }
    assert {**record, **expected} == record
    assert record["priority"] == "normal"
    assert record["folder"] == str(farm.jobs / "spring")


def test_a_place_without_jobs_says_how_to_make_one(farm: Farm, tmp_path: Path) -> None:
    assert farm.must("jobs", "--jobs", tmp_path) == f"No jobs in {tmp_path}; hangtag submit makes one."
    assert json.loads(farm.hangtag("jobs", "--jobs", tmp_path, "--json").stdout) == []


def test_a_job_and_its_workers_are_shown(farm: Farm, spring, products: Path, catalogue: Path) -> None:
    text = farm.must("jobs", "show", "spring")
    assert f"Catalogue: {products}, column image, photos under {catalogue}" in text
    assert "Chunks: 3 of 256 rows" in text
    assert f"Worker: {os.uname().nodename}, process {farm.workers[0].pid}, slots: 2" in text
    record = json.loads(farm.hangtag("jobs", "show", "spring", "--json").stdout)
    assert (record["job"], record["redis_error"], record["trouble"]) == ("spring", None, {})
    assert [worker["slots"] for worker in record["workers"]] == [2]


def test_a_receipt_is_printed(farm: Farm, spring: tuple[str, str]) -> None:
    assert farm.must("jobs", "receipt", "spring") in spring[1]
    printed = Receipt.model_validate_json(farm.hangtag("jobs", "receipt", "spring", "--json").stdout)
    assert printed == Receipt.model_validate_json((farm.jobs / "spring" / "receipt.json").read_text())
    assert (printed.rows, sum(printed.by_status.values())) == (SPRING_ROWS, SPRING_ROWS)
    assert printed.errors["refused"].examples[0].image == "ftp://shop.example/a.jpg"


def test_a_job_is_cancelled_and_goes_on(farm: Farm, few) -> None:
    with farm.workers[0].stopped():
        farm.must(*few("paused"))
        kept = "Cancelled with 0 of 4 rows done, which are kept"
        assert farm.must("jobs", "cancel", "paused") == f"{kept}; hangtag jobs resume paused goes on."
    watched = farm.hangtag("jobs", "watch", "paused")
    assert watched.returncode == 1
    assert "The job is cancelled, with 0 rows done; hangtag jobs resume paused goes on." in watched.stderr
    assert json.loads(farm.hangtag("jobs", "show", "paused", "--json").stdout)["state"] == "cancelled"
    assert not (farm.jobs / "paused" / "parts").exists()
    assert farm.must("jobs", "resume", "paused") == "paused goes on: 4 of 4 rows are to be done."
    farm.must("jobs", "watch", "paused")
    assert len(farm.job("paused").rows()) == 4
    assert farm.must("jobs", "resume", "paused").startswith("paused is finished; hangtag jobs receipt paused")
    again = farm.hangtag("jobs", "cancel", "paused")
    assert (again.returncode, again.stderr) == (1, "hangtag: paused is finished, there is nothing to cancel.\n")


def test_an_unfinished_job_has_no_receipt_and_is_not_retried(farm: Farm, few) -> None:
    with farm.workers[0].stopped():
        farm.must(*few("waiting"))
        receipt = farm.hangtag("jobs", "receipt", "waiting")
        retry = farm.hangtag("jobs", "retry-failed", "waiting")
    watch = "waiting is not finished yet; watch it with hangtag jobs watch waiting"
    assert (receipt.returncode, receipt.stdout, receipt.stderr) == (1, "", f"hangtag: {watch}\n")
    assert retry.returncode == 1
    assert "Expected a finished job" in retry.stderr


def test_ctrl_c_stops_the_watching_not_the_job(farm: Farm, few) -> None:
    client = farm.client
    with farm.workers[0].stopped():
        farm.must(*few("watched"))
        client.delete("hangtag:tick:4")
        process = subprocess.Popen(
            [*HANGTAG, "jobs", "watch", "watched"],
            env=farm.environment,
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
    assert "Watching stopped; workers go on with the job." in one_line(said)
    farm.must("jobs", "watch", "watched")
    assert len(farm.job("watched").rows()) == 4


VERBS = ("show", "watch", "resume", "cancel", "retry-failed", "receipt")


@pytest.mark.parametrize("verb", VERBS)
def test_a_job_that_is_not_there_is_told(farm: Farm, spring, verb: str) -> None:
    done = farm.hangtag("jobs", verb, "autumn")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"hangtag: Expected job.json of job autumn in {farm.jobs}, found none" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("jobs", "show"), ("submit",)], ids=" ".join)
def test_a_name_that_no_job_can_have_is_refused(farm: Farm, few, command: tuple[str, ...]) -> None:
    arguments = (*command, "../spring") if command[0] == "jobs" else (*few("named")[:-1], "../spring")
    done = farm.hangtag(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "hangtag: Expected a name for a job of letters, digits, '.', '_' and '-'" in done.stderr
    assert not (farm.folder / "spring").exists()


def secret_url(folder: Path) -> tuple[str, str]:
    """A Redis with a password that is not there, and how it may be called."""
    port = PrivateRedis(folder).port
    return f"redis://:secret@127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/0"


def test_jobs_are_shown_while_redis_is_away(farm: Farm, spring, tmp_path: Path) -> None:
    url, _ = secret_url(tmp_path)
    assert "spring" in farm.hangtag("jobs", HANGTAG_REDIS_URL=url).stdout
    shown = farm.hangtag("jobs", "show", "spring", HANGTAG_REDIS_URL=url)
    assert shown.returncode == 0
    assert "Redis cannot be used" in shown.stdout
    assert farm.hangtag("jobs", "watch", "spring", HANGTAG_REDIS_URL=url).returncode == 0
    assert "secret" not in shown.stdout + shown.stderr


def test_nothing_is_retried_while_redis_is_away(farm: Farm, spring, tmp_path: Path) -> None:
    url, name = secret_url(tmp_path)
    done = farm.hangtag("jobs", "retry-failed", "spring", "--redis", url)
    assert done.returncode == 1
    assert f"Expected Redis at {name}" in done.stderr
    assert not (farm.jobs / "spring" / "retries").exists()


@pytest.mark.parametrize("command", [("jobs",), ("worker",), ("jobs", "receipt", "spring")], ids=" ".join)
def test_a_wrong_redis_url_is_told_by_the_name_of_its_setting(farm: Farm, command: tuple[str, ...]) -> None:
    done = farm.hangtag(*command, HANGTAG_REDIS_URL="127.0.0.1:6379")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hangtag: HANGTAG_REDIS_URL or its option is wrong")
    assert len(done.stderr.splitlines()) == 1


def test_a_worker_that_cannot_write_in_the_folder_of_jobs_does_not_start(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = farm.hangtag("worker", "--jobs", tmp_path / "file")
    assert done.returncode == 1
    assert f"Expected a folder of jobs at {tmp_path}/file that can be written to" in done.stderr


def test_who_submits_is_told_when_nobody_will_label_it(farm: Farm, few, tmp_path: Path) -> None:
    elsewhere = farm.hangtag(*few("elsewhere"), "--jobs", tmp_path)
    assert elsewhere.returncode == 0
    told = one_line(elsewhere.stderr)
    assert f"looks for jobs in {farm.jobs}, which is not this folder; share one, see --jobs." in told
    nobody = farm.hangtag(*few("nobody"), "--jobs", tmp_path, "--redis", farm.server.url.removesuffix("0") + "1")
    assert nobody.returncode == 0
    assert "No worker is there; start one with hangtag worker" in nobody.stderr
