"""How ``hangtag web`` starts and ends."""

import signal
import time

import httpx
import pytest

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
    assert server.log.read_text().startswith(f"Hangtag is at {server.url}\n")
