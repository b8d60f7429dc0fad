"""Messages of ``hangtag review`` when it does not start."""

from pathlib import Path

from tests.command import run_hangtag
from tests.messages.golden import check_messages


def test_messages(tmp_path: Path) -> None:
    (tmp_path / "without-a-job.parquet").touch()
    (tmp_path / "labels.parquet.job").mkdir()
    jobs = ("--jobs", tmp_path / "jobs")
    runs = {
        "a result that is not there": (tmp_path / "labels.csv", *jobs),
        "a result without a job": (tmp_path / "without-a-job.parquet", *jobs),
        "the job's folder instead of its result": (tmp_path / "labels.parquet.job", *jobs),
        "a job that is not there": ("spring", *jobs),
    }
    outputs = {title: run_hangtag("review", *words).stderr for title, words in runs.items()}
    check_messages("review", outputs, {tmp_path: "FOLDER"})
