"""``hangtag watch`` as processes: each file is in one job, and in no more."""

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.storage.storage import FolderStorage
from tests.command import HANGTAG
from tests.until import until
from worker.job.jobs import Jobs
from worker.job.receipt import finished_receipt

from .cluster import Cluster
from .jobs import assert_same, photo_names
from .processes import WorkerProcess

Watch = Callable[..., WorkerProcess]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def watch(cluster: Cluster, inbox: Path, bundle: Path, catalogue: Path) -> Watch:
    """Start to watch; relative paths in catalogues start at the drawn photos."""

    def start(settle: str = "0.3") -> WorkerProcess:
        queue = ("--redis", cluster.server.url, "--jobs", str(cluster.jobs), "--image-root", str(catalogue))
        pace = ("--settle", settle, "--every", "0.1", "--json")
        return cluster.start((*INTERRUPTIBLE, *HANGTAG, "watch", str(inbox), "--model", str(bundle), *queue, *pace))

    return start


INTERRUPTIBLE = ("env", "--default-signal=INT")
"""Shells ignore SIGINT in what they start with &, and children inherit that."""


def drop(file: Path, names: list[str]) -> None:
    """Put a list into the folder as a careful program does: under another name first."""
    unfinished = file.with_name(f"{file.name}.part")
    unfinished.write_text("".join(f"{name}\n" for name in names))
    unfinished.rename(file)


def rows_of(cluster: Cluster) -> Counter[str | None]:
    """Photo → how many rows of all jobs it is in."""
    jobs = Jobs(FolderStorage(cluster.jobs))
    found = [jobs.get(name) for name in jobs.names()]
    return Counter(
        image for job in found if job for chunk in range(job.spec.chunks) for image in job.chunk_images(chunk)
    )


def files_in(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


def test_files_of_a_folder_are_labelled(cluster: Cluster, inbox: Path, watch: Watch, catalogue: Path, expected) -> None:
    cluster.worker()
    watching = watch()
    names = photo_names(catalogue, 12)
    drop(inbox / "nightly.txt", names)
    photos = [name for name in names if Path(name).suffix in {".jpg", ".png", ".webp"}][:5]
    for name in photos:
        (inbox / name).parent.mkdir(exist_ok=True)
        shutil.copy(catalogue / name, inbox / name)
    until(lambda: rows_of(cluster) == Counter([*names, *photos]), "all files are in jobs")
    jobs = Jobs(FolderStorage(cluster.jobs))
    until(lambda: all(finished_receipt(jobs.find(name)) for name in jobs.names()), "the jobs are done", 60.0)
    told = {line["file"]: line["job"] for line in until(lambda: watching.events("submitted"), "jobs are told")}
    assert_same(pq.read_table(cluster.jobs / told["nightly.txt"] / "labels.parquet").to_pylist(), expected(names))
    watching.terminate()
    assert watching.process.wait(30) == 0


def test_a_file_that_grows_is_taken_when_it_is_whole(
    cluster: Cluster, inbox: Path, watch: Watch, catalogue: Path
) -> None:
    watching = watch("1.5")
    until(lambda: watching.events("watching"), "the folder is watched")
    with (inbox / "growing.txt").open("w") as file:
        rows = iter([*photo_names(catalogue, 1), *(f"{row}.jpg" for row in range(300))])

        def all_written() -> bool:
            row = next(rows, None)
            print(row or "last.jpg", file=file, flush=True)
            return row is None

        until(all_written, "all rows are written")
    (told,) = until(lambda: watching.events("submitted"), "it becomes a job")
    assert told["rows"] == (inbox / "growing.txt").read_text().count("\n")
    assert len(rows_of(cluster)) == told["rows"]


def rows_to_drop(catalogue: Path, files: int) -> list[str]:
    """A hundred rows a file, of which the first alone is there to be labelled."""
    there = photo_names(catalogue, files)
    return [f"{number}-{row}.jpg" if row else there[number] for number in range(files) for row in range(100)]


def test_two_that_watch_one_folder_take_each_file_once(
    cluster: Cluster, inbox: Path, watch: Watch, catalogue: Path
) -> None:
    watching = [watch("0"), watch("0")]
    for one in watching:
        until(lambda one=one: one.events("watching"), "the folder is watched")
    rows = rows_to_drop(catalogue, 8)
    for number in range(8):
        drop(inbox / f"{number}.txt", rows[100 * number : 100 * (number + 1)])
        (inbox / f"photo-{number}.png").touch()
    photos = [f"photo-{number}.png" for number in range(8)]
    until(lambda: len(rows_of(cluster)) == len(rows) + len(photos), "all are in jobs")
    until(lambda: not list(inbox.glob("*.part")), "nothing is on its way")
    until(lambda: len(list((cluster.jobs / "_watched" / "files").rglob("*.json"))) == 8, "all catalogues are marked")
    assert rows_of(cluster) == Counter([*rows, *photos])
    made = [line["job"] for one in watching for line in one.events("submitted") if line["new"]]
    assert len(made) == len(set(made))
    assert not [line for one in watching for line in one.events("trouble") + one.events("refused")]


def test_a_watch_that_is_killed_again_and_again_takes_each_file_once(
    cluster: Cluster, inbox: Path, watch: Watch, catalogue: Path
) -> None:
    rows = rows_to_drop(catalogue, 6)
    for number in range(6):
        drop(inbox / f"{number}.txt", rows[100 * number : 100 * (number + 1)])
        (inbox / f"photo-{number}.png").touch()
    for more in (1, 8, 9, 10):
        there = files_in(cluster.jobs)
        watching = watch("0")
        until(lambda there=there, more=more: files_in(cluster.jobs) >= there + more, "it has written some files")
        watching.signal_all(signal.SIGKILL)
        watching.process.wait()
    watch("0")
    everything = Counter([*rows, *(f"photo-{number}.png" for number in range(6))])
    until(lambda: len(rows_of(cluster)) == len(everything), "all are in jobs")
    assert rows_of(cluster) == everything


def test_without_redis_the_jobs_are_there_all_the_same(
    cluster: Cluster, inbox: Path, watch: Watch, catalogue: Path, expected
) -> None:
    cluster.server.kill()
    watching = watch()
    names = photo_names(catalogue, 4)
    drop(inbox / "nightly.txt", names)
    (told,) = until(lambda: watching.events("submitted"), "the job is there")
    until(lambda: watching.events("remark"), "somebody is told")
    assert "Redis cannot be used" in watching.events("remark")[0]["reason"]
    watching.signal_all(signal.SIGINT)
    assert watching.process.wait(30) == 130
    cluster.server.start()
    cluster.worker()
    job = Jobs(FolderStorage(cluster.jobs)).find(told["job"])
    until(lambda: finished_receipt(job), "a worker's reconciler finds it", 60.0)
    assert_same(pq.read_table(cluster.jobs / told["job"] / "labels.parquet").to_pylist(), expected(names))


def test_one_look_ends_by_itself_and_says_whether_all_went_well(
    cluster: Cluster, inbox: Path, bundle: Path, tmp_path: Path
) -> None:
    command = ("watch", str(inbox), "--model", str(bundle), "--once", "--settle", "0.1", "--json")
    (tmp_path / "1.jpg").touch()
    (inbox / "a.csv").write_text("image\n1.jpg\n")
    command += ("--image-root", str(tmp_path))
    first = cluster.hangtag(*command)
    assert first.returncode == 0, first.stderr
    assert [json.loads(line)["event"] for line in first.stdout.splitlines()] == ["submitted", "remark"]
    (inbox / "bad.csv").write_text("")
    second = cluster.hangtag(*command)
    assert second.returncode == 1
    assert [json.loads(line)["event"] for line in second.stdout.splitlines()] == ["refused"]
    third = cluster.hangtag(*command)
    assert (third.returncode, third.stdout) == (0, "")
    os.utime(inbox / "a.csv", (1, 1))
    assert cluster.hangtag(*command).stdout == ""
    fourth = cluster.hangtag(*command, "--top-k", "1")
    (told,) = map(json.loads, fourth.stdout.splitlines())
    assert (told["event"], told["file"], told["reason"]) == ("skipped", "a.csv", "--top-k was 3, is 1")


def test_notes_are_kept_in_s3_where_the_jobs_are(cluster: Cluster, inbox: Path, bundle: Path, bucket: str) -> None:
    command = ("watch", str(inbox), "--model", str(bundle), "--once", "--settle", "0", "--json")
    (inbox / "a.csv").write_text("image\n1.jpg\n")
    (inbox / "1.jpg").touch()
    jobs = ("--jobs", f"s3://{bucket}/jobs")
    first = cluster.hangtag(*command, *jobs)
    assert first.returncode == 0, first.stdout + first.stderr
    assert [json.loads(line)["event"] for line in first.stdout.splitlines()] == ["submitted", "remark", "submitted"]
    second = cluster.hangtag(*command, *jobs)
    assert (second.returncode, second.stdout) == (0, "")
