"""Messages of ``hangtag worker`` when it does not start, and its log lines when it starts without Redis."""

import re
import socket
from pathlib import Path

import pytest

from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages

BOX = re.compile("[\u2500-\u257f]+")


@pytest.mark.rest
def test_what_a_worker_says_that_does_not_start(tmp_path: Path) -> None:
    outputs: dict[str, str] = {}

    def run(title: str, *options: object, **settings: str) -> None:
        env = clean_environment(HANGTAG_JOBS=str(tmp_path / "jobs"), COLUMNS="200", **settings)
        done = run_hangtag("worker", *options, env=env)
        outputs[title] = f"[{done.returncode}] {BOX.sub('', done.stderr)}"

    (tmp_path / "file").touch()
    run("settings of a retraining", "retrain.toml")
    run("an option of labelling", "--queue", "train", "--workers", 2, "retrain.toml")
    run("a folder of jobs without a parent", "--jobs", tmp_path / "none" / "jobs")
    run("a folder of jobs that is a file", "--jobs", tmp_path / "file")
    run("a heartbeat in no folder", HANGTAG_HEARTBEAT=str(tmp_path / "none" / "heartbeat"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run("a port that somebody has", "--metrics-port", port)
    check_messages("worker", outputs, {tmp_path: "FOLDER", port: "PORT"})
