"""A catalogue from a web server that may be slow to come right, or wrong."""

import io
from collections.abc import Iterator

import pytest

from models.errors import HangtagError, InputError, JobError
from tests.unit.worker.sources.scripted_server import Answer, ScriptedServer, open_scripted_server
from worker.sources.web import download

DATA = b"image,sku\na.jpg,1\n" * 1000
AT_ONCE = (0.0, 0.0)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with open_scripted_server() as script:
        yield script


def fetched(server: ScriptedServer, url: str, *, allowed: bool = True, max_bytes: int = 10**6) -> bytes:
    file = io.BytesIO()
    download(url, file, [server.host] if allowed else None, AT_ONCE, max_bytes)
    return file.getvalue()


def test_what_is_there_comes(server: ScriptedServer) -> None:
    server.answers["/a.csv"] = [Answer(DATA)]
    assert fetched(server, server.url("/a.csv?sig=1")) == DATA
    assert server.asked == [("/a.csv?sig=1", None)]


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=500),
        Answer(status=503),
        Answer(status=429, headers={"Retry-After": "0"}),
        Answer(DATA[:50], length=len(DATA)),
    ],
    ids=["500", "503", "429", "cut short"],
)
def test_a_passing_fault_is_tried_again(server: ScriptedServer, fault: Answer) -> None:
    server.answers["/a.csv"] = [fault, fault, Answer(DATA)]
    assert fetched(server, server.url("/a.csv")) == DATA


GONE_WRONG = {
    "not found": (Answer(status=404), InputError, "answered 404 Not Found; check the URL"),
    "forbidden": (Answer(status=403), InputError, "answered 403 Forbidden"),
    "always down": (Answer(status=503), JobError, "answered 503 Service Unavailable; try later"),
    "cut short": (Answer(DATA, length=len(DATA) + 1), JobError, "got ClientPayloadError"),
    "a web page": (Answer(b"\n<!DOCTYPE html><title>Sign in</title>"), InputError, "got a web page"),
    "endless": (Answer(DATA, endless=True), InputError, "Expected at most 1,000,000 bytes"),
    "in circles": (Answer(status=302, headers={"Location": "/a.csv"}), InputError, "redirected more than 5 times"),
    "to nowhere": (Answer(status=302), InputError, "where we do not go"),
    "to a file": (Answer(status=302, headers={"Location": "file:///etc/passwd"}), InputError, "where we do not go"),
    "to another address": (
        Answer(status=302, headers={"Location": "http://169.254.169.254/latest"}),
        InputError,
        "169.254.169.254 is not one; if you trust it, pass --allow-host",
    ),
    "to a name of loopback": (Answer(status=301, headers={"Location": "http://localhost:1/"}), InputError, "public"),
}


@pytest.mark.parametrize(("answer", "kind", "said"), GONE_WRONG.values(), ids=GONE_WRONG)
def test_what_goes_wrong_is_told_with_the_url_and_no_secret(
    server: ScriptedServer, answer: Answer, kind: type[HangtagError], said: str
) -> None:
    server.answers["/a.csv"] = [answer]
    with pytest.raises(kind, match=said) as refusal:
        fetched(server, f"http://me:SECRET@{server.host}/a.csv?SECRET")
    assert "SECRET" not in str(refusal.value)
    if "public" not in str(refusal.value):
        assert server.url("/a.csv") in str(refusal.value)


def test_nobody_listens(server: ScriptedServer) -> None:
    with pytest.raises(JobError, match=r"http://127\.0\.0\.1:1/a\.csv, got ClientConnectorError"):
        download("http://127.0.0.1:1/a.csv", io.BytesIO(), ["127.0.0.1:1"], AT_ONCE)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001"])
def test_only_public_addresses_are_asked(server: ScriptedServer, host: str) -> None:
    server.answers["/a.csv"] = [Answer(DATA)]
    with pytest.raises(HangtagError):
        fetched(server, f"http://{host}:{server.port}/a.csv", allowed=False)
    assert server.asked == []


def test_a_password_stays_with_its_host(server: ScriptedServer) -> None:
    elsewhere = f"localhost:{server.port}"
    server.answers["/a.csv"] = [Answer(status=307, headers={"Location": "b.csv"})]
    server.answers["/b.csv"] = [Answer(status=301, headers={"Location": f"http://{elsewhere}/c.csv"})]
    server.answers["/c.csv"] = [Answer(DATA)]
    file = io.BytesIO()
    download(f"http://me:SECRET@{server.host}/a.csv", file, [server.host, elsewhere], AT_ONCE)
    assert file.getvalue() == DATA
    assert [(path, said is not None) for path, said in server.asked] == [
        ("/a.csv", True),
        ("/b.csv", True),
        ("/c.csv", False),
    ]
