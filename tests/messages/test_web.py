"""Messages of ``hangtag web`` when it does not start."""

import socket
from pathlib import Path

from tests.command import run_hangtag
from tests.messages.golden import check_messages


def test_messages(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    (tmp_path / "file").touch()
    (tmp_path / "labels.parquet.job").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        runs = {
            "another host without a token": ("--host", "0.0.0.0"),  # noqa: S104 - the command refuses to start
            "a token that is not there": ("--token-file", tmp_path / "nothing"),
            "a short token": ("--token-file", tmp_path / "token"),
            "a result without a job": (tmp_path / "other.parquet",),
            "the job's folder instead of its result": (tmp_path / "labels.parquet.job",),
            "a model that is not there": ("--model", tmp_path / "bundle"),
            "a model with a name": ("--model", "category=shop@champion"),
            "a host without a port": ("--allow-host", "photos.internal"),
            "corrections that cannot be written": (
                "--port",
                free,
                "--corrections",
                tmp_path / "file" / "corrections.csv",
            ),
            "a port that is taken": ("--port", port, "--corrections", tmp_path / "corrections.csv"),
        }
        outputs = {title: run_hangtag("web", *words).stderr for title, words in runs.items()}
    check_messages("web", outputs, {tmp_path: "FOLDER", port: "PORT"})
