"""The commands of the queue as a person runs them: a Redis, one ``hangtag worker``, and a folder of jobs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis
from PIL import Image

from tests.until import until
from worker.queue.ledger import Ledger
from worker.queue.private_redis import PrivateRedis
from worker.receipt import Receipt

HANGTAG = (sys.executable, "-m", "hangtag")
ROWS = 600
VERBS = ("show", "watch", "resume", "cancel", "retry-failed", "receipt")
Done = subprocess.CompletedProcess[str]


@dataclass
class Place:
    """Where a person sits who uses the queue.

    Attributes:
        folder: holds the folder of jobs, and what a test likes.
        server: the Redis.
        worker: the worker's main process; all of it is one process group.
    """

    folder: Path
    server: PrivateRedis
    worker: "subprocess.Popen[bytes]"

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.server.url, self.jobs)

    def run(self, *arguments: object, **changes: str) -> Done:
        """A command to its end; nobody may see a traceback."""
        done = subprocess.run(
            [*HANGTAG, *map(str, arguments)],
            env=self.environment | changes,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        return done

    def must(self, *arguments: object) -> str:
        """What a command that succeeds prints, on one line."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return one_line(done.stdout)

    def rows(self, job: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.jobs / job / "labels.parquet").to_pylist()
        return rows

    @contextmanager
    def stopped_worker(self) -> Iterator[None]:
        """As long as the block runs the worker does nothing."""
        os.killpg(self.worker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.worker.pid, signal.SIGCONT)


def environment(url: str, jobs: Path) -> dict[str, str]:
    """A terminal wide enough for tables, and settings of ours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HANGTAG_")}
    return {**clean, "HANGTAG_REDIS_URL": url, "HANGTAG_JOBS": str(jobs), "COLUMNS": "200"}


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def server(redis_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, server: PrivateRedis) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("queue")
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [*HANGTAG, "worker", "--concurrency", "2"],
            env=environment(server.url, folder / "jobs"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            until(lambda: Ledger(client).workers() or worker.poll() is not None, "the worker announces itself")
        yield Place(folder, server, worker)
        worker.terminate()
        assert worker.wait(30) == 0
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        print((folder / "worker.log").read_text())


@pytest.fixture(scope="module")
def products(place: Place, catalogue: Path) -> Path:
    """A CSV of 600 rows, three of them without a photo; three chunks on the queue, five on this machine."""
    names = sorted(str(photo.relative_to(catalogue)) for photo in catalogue.rglob("*.*"))
    cells = [*islice(cycle(names), ROWS - 3), "gone.jpg", "", "https://shop.example/a.jpg"]
    source = place.folder / "products.csv"
    source.write_text("sku,image\n" + "".join(f"{row:05},{cell}\n" for row, cell in enumerate(cells)))
    return source


@pytest.fixture(scope="module")
def spring(place: Place, products: Path, catalogue: Path, bundle: Path) -> tuple[str, str]:
    """The job ``spring``, submitted and followed to its end; what both commands printed."""
    options = ("--model", bundle, "--image-root", catalogue, "--job", "spring")
    return place.must("submit", products, *options), place.must("jobs", "watch", "spring")


@pytest.fixture
def few(place: Place, catalogue: Path, bundle: Path) -> Callable[..., tuple[object, ...]]:
    """The arguments of ``submit`` for a job of four rows."""

    def arguments(job: str) -> tuple[object, ...]:
        source = place.folder / f"{job}.txt"
        source.write_text("".join(f"{photo}\n" for photo in sorted(catalogue.rglob("*.png"))[:4]))
        return ("submit", source, "--model", bundle, "--job", job)

    return arguments


def test_a_job_is_submitted_watched_and_shown(place: Place, spring: tuple[str, str]) -> None:
    submitted, watched = spring
    assert submitted == f"Submitted: spring, {ROWS} rows in 3 chunks Watch it with: hangtag jobs watch spring"
    assert f"Results: {place.jobs}/spring/labels.parquet" in watched
    assert f"Page: {place.jobs}/spring/receipt.html" in watched
    assert f"{ROWS} images in" in watched
    assert "missing, row 598, gone.jpg" in watched


def test_the_result_is_that_of_hangtag_label(
    place: Place, spring, products: Path, catalogue: Path, bundle: Path
) -> None:
    output = place.folder / "labels.parquet"
    place.must("label", products, "--model", bundle, "--image-root", catalogue, "--output", output, "--workers", 2)
    queued, here = pq.read_table(place.jobs / "spring" / "labels.parquet"), pq.read_table(output)
    assert queued.schema == here.schema
    floats = ("confidence", "top_k")
    assert queued.drop_columns(floats).equals(here.drop_columns(floats))
    for one, other in zip(queued.to_pylist(), here.to_pylist(), strict=True):
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-5)
        best, best_here = one["top_k"] or [], other["top_k"] or []
        assert [entry["label"] for entry in best] == [entry["label"] for entry in best_here]
        assert [entry["confidence"] for entry in best] == pytest.approx([e["confidence"] for e in best_here], abs=1e-5)


def test_the_same_job_again_is_the_one_that_is_there(
    place: Place, spring, products: Path, catalogue: Path, bundle: Path
) -> None:
    options = ("--model", bundle, "--image-root", catalogue, "--job", "spring")
    assert place.must("submit", products, *options).startswith("Was submitted before: spring, 600 rows")
    record = json.loads(place.run("submit", products, *options, "--json").stdout)
    assert record == {"job": "spring", "new": False, "folder": str(place.jobs / "spring"), "rows": ROWS, "chunks": 3}
    other = place.run("submit", products, *options, "--top-k", 1)
    assert (other.returncode, other.stdout) == (1, "")
    assert "There is a job spring already" in other.stderr


def test_a_script_submits_a_job(place: Place, few) -> None:
    record = json.loads(place.run(*few("scripted"), "--json").stdout)
    folder = place.jobs / "scripted"
    assert record == {"job": "scripted", "new": True, "folder": str(folder), "rows": 4, "chunks": 1}
    place.must("jobs", "watch", "scripted")
    assert len(place.rows("scripted")) == 4


def test_jobs_are_a_table(place: Place, spring) -> None:
    (line,) = [line for line in place.run("jobs").stdout.splitlines() if "spring" in line]
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells[:4] == ["spring", "finished", "600 / 600", "100%"]
    assert cells[7] == place.rows("spring")[0]["model"]


def test_jobs_are_json(place: Place, spring) -> None:
    (record,) = [job for job in json.loads(place.run("jobs", "--json").stdout) if job["job"] == "spring"]
    failed = sum(row["status"] == "failed" for row in place.rows("spring"))
    assert failed >= 3
    expected = {"state": "finished", "rows": ROWS, "done": ROWS, "failed": failed, "deaths": 0, "seconds_left": None}
    assert {**record, **expected} == record
    assert record["priority"] == "normal"
    assert record["folder"] == str(place.jobs / "spring")


def test_a_place_without_jobs_says_how_to_make_one(place: Place, tmp_path: Path) -> None:
    assert place.must("jobs", "--jobs", tmp_path) == f"No jobs in {tmp_path}; hangtag submit makes one."
    assert json.loads(place.run("jobs", "--jobs", tmp_path, "--json").stdout) == []


def test_a_job_and_its_workers_are_shown(place: Place, spring, products: Path, catalogue: Path) -> None:
    text = place.must("jobs", "show", "spring")
    assert f"Catalogue: {products}, column image, photos under {catalogue}" in text
    assert "Chunks: 3 of 256 rows" in text
    assert f"Worker: {os.uname().nodename}, process {place.worker.pid}, slots: 2" in text
    record = json.loads(place.run("jobs", "show", "spring", "--json").stdout)
    assert (record["job"], record["redis_error"], record["trouble"]) == ("spring", None, {})
    assert [worker["slots"] for worker in record["workers"]] == [2]


def test_a_receipt_is_printed(place: Place, spring: tuple[str, str]) -> None:
    assert place.must("jobs", "receipt", "spring") in spring[1]
    printed = Receipt.model_validate_json(place.run("jobs", "receipt", "spring", "--json").stdout)
    assert printed == Receipt.model_validate_json((place.jobs / "spring" / "receipt.json").read_text())
    assert (printed.rows, sum(printed.by_status.values())) == (ROWS, ROWS)
    assert printed.errors["refused"].examples[0].image == "https://shop.example/a.jpg"


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
        client.delete("hangtag:tick")
        process = subprocess.Popen(
            [*HANGTAG, "jobs", "watch", "watched"],
            env=place.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # shells ignore SIGINT in what they start with &, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - this test has no threads
        )
        until(lambda: client.exists("hangtag:tick") or process.poll() is not None, "it watches")
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
    assert place.must("jobs", "retry-failed", "again").startswith("Trying 1 rows again: 1 missing.")
    place.must("jobs", "watch", "again")
    after = place.rows("again")
    assert [row["error"] for row in after] == [None, None, "unreadable", None]
    assert after[1]["label"] == after[0]["label"]
    assert [after[row] for row in (0, 2, 3)] == [before[row] for row in (0, 2, 3)]
    assert "Retries: 1 of failed rows" in place.must("jobs", "show", "again")
    assert place.must("jobs", "retry-failed", "again") == "No failed row of it is worth another try."


@pytest.mark.parametrize("verb", VERBS)
def test_a_job_that_is_not_there_is_told(place: Place, spring, verb: str) -> None:
    done = place.run("jobs", verb, "autumn")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"hangtag: Expected job.json of job autumn in {place.jobs}, found none" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("jobs", "show"), ("submit",)], ids=" ".join)
def test_a_name_that_no_job_can_have_is_refused(place: Place, few, command: tuple[str, ...]) -> None:
    arguments = (*command, "../spring") if command[0] == "jobs" else (*few("named")[:-1], "../spring")
    done = place.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "hangtag: Expected a job's name of letters, digits, '.', '_' and '-'" in done.stderr
    assert not (place.folder / "spring").exists()


def secret_url(folder: Path) -> tuple[str, str]:
    """A Redis with a password that is not there, and how it may be called."""
    port = PrivateRedis(folder).port
    return f"redis://:secret@127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/0"


def test_nothing_is_submitted_while_redis_is_away(place: Place, few, tmp_path: Path) -> None:
    url, name = secret_url(tmp_path)
    done = place.run(*few("lost"), "--redis", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hangtag: Expected Redis at {name}, got: ")
    assert "Pass --redis, or set HANGTAG_REDIS_URL." in done.stderr
    assert "secret" not in done.stderr
    assert not (place.jobs / "lost").exists()


def test_jobs_are_shown_while_redis_is_away(place: Place, spring, tmp_path: Path) -> None:
    url, _ = secret_url(tmp_path)
    assert "spring" in place.run("jobs", HANGTAG_REDIS_URL=url).stdout
    shown = place.run("jobs", "show", "spring", HANGTAG_REDIS_URL=url)
    assert shown.returncode == 0
    assert "Redis cannot be used" in shown.stdout
    assert place.run("jobs", "watch", "spring", HANGTAG_REDIS_URL=url).returncode == 0
    assert "secret" not in shown.stdout + shown.stderr


def test_nothing_is_retried_while_redis_is_away(place: Place, spring, tmp_path: Path) -> None:
    url, name = secret_url(tmp_path)
    done = place.run("jobs", "retry-failed", "spring", "--redis", url)
    assert done.returncode == 1
    assert f"Expected Redis at {name}" in done.stderr
    assert not (place.jobs / "spring" / "retries").exists()


@pytest.mark.parametrize("command", [("jobs",), ("worker",), ("jobs", "receipt", "spring")], ids=" ".join)
def test_a_wrong_redis_url_is_told_by_the_name_of_its_setting(place: Place, command: tuple[str, ...]) -> None:
    done = place.run(*command, HANGTAG_REDIS_URL="127.0.0.1:6379")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hangtag: HANGTAG_REDIS_URL or its option is wrong")
    assert len(done.stderr.splitlines()) == 1


def test_a_worker_that_cannot_write_in_the_folder_of_jobs_does_not_start(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = place.run("worker", "--jobs", tmp_path / "file")
    assert done.returncode == 1
    assert f"Expected a folder of jobs at {tmp_path}/file that can be written to" in done.stderr


def test_who_submits_is_told_when_nobody_will_label_it(place: Place, few, tmp_path: Path) -> None:
    elsewhere = place.run(*few("elsewhere"), "--jobs", tmp_path)
    assert elsewhere.returncode == 0
    told = one_line(elsewhere.stderr)
    assert f"looks for jobs in {place.jobs}, which is not this folder; share one, see --jobs." in told
    nobody = place.run(*few("nobody"), "--jobs", tmp_path, "--redis", place.server.url.removesuffix("0") + "1")
    assert nobody.returncode == 0
    assert "No worker is there; start one with hangtag worker" in nobody.stderr


@pytest.mark.slow
def test_the_demo_labels_on_a_queue_of_its_own(tmp_path: Path, server: PrivateRedis) -> None:
    out = tmp_path / "demo"
    done = subprocess.run(
        [*HANGTAG, "demo", "--queued", "--out", str(out), "--photos", "300"],
        env=environment(server.url, tmp_path / "no-jobs"),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "two workers; their logs are in" in one_line(done.stdout)
    job = out / "jobs" / "new-photos"
    receipt = Receipt.model_validate_json((job / "receipt.json").read_text())
    assert receipt.rows == pq.read_metadata(job / "labels.parquet").num_rows >= 300
    assert str(job / "labels.parquet") in done.stdout
    assert (out / "contact_sheet.png").is_file()
    assert (out / "index.html").is_file()
    assert not (tmp_path / "no-jobs").exists()
    for log in sorted((out / "queue").glob("worker-*.log")):
        assert '"event": "worker_ends", "status": 0' in log.read_text()
