"""How ``hangtag web`` starts and ends."""

import signal

import pytest

from .conftest import StartServer


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_it_with_its_status(start_server: StartServer, sign: signal.Signals, status: int) -> None:
    server = start_server()
    assert server.stop(sign) == status
    assert server.log.read_text().startswith(f"Hangtag is at {server.url}\n")
