"""How ``hangtag web`` starts and ends."""

import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.command import HANGTAG

from .conftest import StartServer


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_ends_at_once_though_browsers_follow_jobs(
    start_server: StartServer, sign: signal.Signals, status: int
) -> None:
    server = start_server()
    with httpx.stream("GET", f"{server.url}/jobs/_events", timeout=30) as events:
        pieces = events.iter_bytes()
        assert b"event: summary" in next(pieces)
        begun = time.monotonic()
        assert server.stop(sign) == status
        assert time.monotonic() - begun < 2
        assert b"event:" not in b"".join(pieces)
    at, served, end = server.log.read_text().splitlines()
    assert (at, end) == (f"Hangtag is at {server.url}", "Ctrl-C ends it.")
    assert served.startswith("Model: ")


def test_a_model_that_is_not_there_is_named_before_anything_starts(tmp_path: Path) -> None:
    missing = tmp_path / "no-such-bundle"
    ended = subprocess.run(
        [*HANGTAG, "web", "--model", missing], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        f"hangtag: Expected a bundle (a folder with manifest.json) at {missing}, found nothing"
    )
    assert ended.stdout == ""


def test_corrections_that_cannot_be_written_are_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    corrections = tmp_path / "a file" / "corrections.csv"
    ended = subprocess.run(
        [*HANGTAG, "web", "--corrections", corrections], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"hangtag: {corrections} cannot be written: ")
    assert ended.stdout == ""
