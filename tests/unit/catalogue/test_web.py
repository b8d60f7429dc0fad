"""A catalogue from a web server that may be slow to come right, or wrong."""

import gzip
import io
import socket
from collections.abc import Iterator
from itertools import count

import pytest

from catalogue.remote import WebLimits, download
from models.errors import InputError, JobError
from tests.unit.catalogue.scripted_server import Answer, ScriptedServer, open_scripted_server

DATA = b"image,sku\na.jpg,1\n" * 1000
LIMITS = WebLimits(max_bytes=10**6, pauses_s=(0.0, 0.0))
GZIP = gzip.compress(DATA)
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA)
IN_CHUNKS = {"Transfer-Encoding": "chunked"}
IN_GZIP = {"Content-Encoding": "gzip"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with open_scripted_server() as script:
        yield script


def fetched(
    server: ScriptedServer, url: str, *, allowed: bool = True, limits: WebLimits = LIMITS, unsized: bool = False
) -> bytes:
    file = io.BytesIO()
    download(url, file, [server.host] if allowed else None, limits, unsized=unsized)
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
        Answer(CHUNKED[:-1], headers=IN_CHUNKS, sized=False),
        Answer(GZIP[:-1], headers=IN_GZIP),
    ],
    ids=["500", "503", "429", "cut short", "chunks cut short", "gzip cut short"],
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
    "endless": (Answer(CHUNKED[:-5], headers=IN_CHUNKS, endless=True), InputError, "Expected at most 1,000,000 bytes"),
    "gzip cut short": (Answer(GZIP[:-9], headers=IN_GZIP), JobError, "gzip compression was cut short"),
    "no gzip": (Answer(DATA, headers=IN_GZIP), JobError, "gzip compression is damaged"),
    "a gzip bomb": (Answer(gzip.compress(bytes(10**7)), headers=IN_GZIP), InputError, "Expected at most 1,000,000"),
    "another compression": (Answer(DATA, headers={"Content-Encoding": "br"}), InputError, "compressed as 'br'"),
    "in circles": (Answer(status=302, headers={"Location": "/a.csv"}), InputError, "redirected more than 5 times"),
    "to nowhere": (Answer(status=302), InputError, "which is not allowed"),
    "to a file": (Answer(status=302, headers={"Location": "file:///etc/passwd"}), InputError, "which is not allowed"),
    "to another address": (
        Answer(status=302, headers={"Location": "http://169.254.169.254/latest"}),
        InputError,
        "169.254.169.254 is not one; if you trust it, pass --allow-host",
    ),
    "to a name of loopback": (Answer(status=301, headers={"Location": "http://localhost:1/"}), InputError, "public"),
}


@pytest.mark.parametrize(("answer", "kind", "said"), GONE_WRONG.values(), ids=GONE_WRONG)
def test_what_goes_wrong_is_told_with_the_url_and_no_secret(server, answer, kind, said) -> None:
    server.answers["/a.csv"] = [answer]
    with pytest.raises(kind, match=said) as refusal:
        fetched(server, f"http://me:SECRET@{server.host}/a.csv?SECRET")
    assert "SECRET" not in str(refusal.value)
    if "public" not in str(refusal.value):
        assert server.url("/a.csv") in str(refusal.value)


def test_nobody_listens(server: ScriptedServer) -> None:
    with pytest.raises(JobError, match=r"http://127\.0\.0\.1:1/a\.csv, got ClientConnectorError"):
        download("http://127.0.0.1:1/a.csv", io.BytesIO(), ["127.0.0.1:1"], LIMITS)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001"])
def test_only_public_addresses_are_asked(server: ScriptedServer, host: str) -> None:
    server.answers["/a.csv"] = [Answer(DATA)]
    with pytest.raises(InputError, match=r"Expected a (host with a public address|URL whose host is a name)"):
        fetched(server, f"http://{host}:{server.port}/a.csv", allowed=False)
    assert server.asked == []


def test_a_password_stays_with_its_host(server: ScriptedServer) -> None:
    elsewhere = f"localhost:{server.port}"
    server.answers["/a.csv"] = [Answer(status=307, headers={"Location": "b.csv"})]
    server.answers["/b.csv"] = [Answer(status=301, headers={"Location": f"http://{elsewhere}/c.csv"})]
    server.answers["/c.csv"] = [Answer(DATA)]
    file = io.BytesIO()
    download(f"http://me:SECRET@{server.host}/a.csv", file, [server.host, elsewhere], LIMITS)
    assert file.getvalue() == DATA
    assert [(path, said is not None) for path, said in server.asked] == [
        ("/a.csv", True),
        ("/b.csv", True),
        ("/c.csv", False),
    ]


WITHOUT_AN_END = {
    "ends with the connection": Answer(DATA[:400], sized=False),
    "ends with the connection, packed": Answer(GZIP, headers=IN_GZIP, sized=False),
    "coded in another way than chunks": Answer(DATA, headers={"Transfer-Encoding": "identity"}, sized=False),
}


@pytest.mark.parametrize("answer", WITHOUT_AN_END.values(), ids=WITHOUT_AN_END)
def test_what_says_nothing_of_its_end_is_refused(server: ScriptedServer, answer: Answer) -> None:
    server.answers["/a.csv"] = [answer]
    with pytest.raises(InputError, match=r"does not say how long it is.* with --allow-unsized"):
        fetched(server, server.url("/a.csv"))
    assert len(server.asked) == 1
    assert DATA.startswith(fetched(server, server.url("/a.csv"), unsized=True))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(CHUNKED, headers=IN_CHUNKS, sized=False),
        Answer(GZIP, headers=IN_GZIP),
        Answer(GZIP, headers={"Content-Encoding": "x-gzip"}),
        Answer(gzip.compress(DATA[:70]) + gzip.compress(DATA[70:]), headers=IN_GZIP),
    ],
    ids=["chunks", "gzip", "gzip by its old name", "gzip of two members"],
)
def test_whatever_says_where_it_ends_comes_whole(server: ScriptedServer, answer: Answer) -> None:
    server.answers["/a.csv"] = [answer]
    assert fetched(server, server.url("/a.csv")) == DATA


def test_a_large_packed_file_comes_whole(server: ScriptedServer) -> None:
    data = bytes(3 * 256 * 1024)  # a multiple of what is unpacked at once
    server.answers["/a.csv"] = [Answer(gzip.compress(data), headers=IN_GZIP)]
    assert fetched(server, server.url("/a.csv")) == data


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (WebLimits(clock=count(0.0, 61.0).__next__), "too slow: .* bytes came in 61 s"),
        (WebLimits(clock=count(0.0, 4000.0).__next__, least_bytes=0, total_s=3600.0), "within 1 h, it takes"),
    ],
    ids=["drips", "for ever"],
)
def test_a_host_that_drips_is_not_awaited_for_ever(server: ScriptedServer, limits: WebLimits, said: str) -> None:
    server.answers["/a.csv"] = [Answer(DATA)]
    with pytest.raises(JobError, match=said):
        fetched(server, server.url("/a.csv"), limits=limits)
    assert len(server.asked) == 1


def test_a_host_that_never_ends_its_headers_is_not_awaited_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(JobError, match="got TimeoutError"):
            download(f"http://{host}/a.csv", io.BytesIO(), [host], WebLimits(pauses_s=(), answer_s=0.05))


@pytest.mark.parametrize(
    "host", ["a" * 64 + ".example", "-shop-.example", "☃" * 60 + ".example", "sho p.example", "a..b"]
)
def test_a_host_that_cannot_be_is_told_without_a_secret(host: str) -> None:
    with pytest.raises(InputError, match="Expected") as refusal:
        download(f"http://me:SECRET@{host}/a.csv?SECRET", io.BytesIO(), limits=LIMITS)
    assert "SECRET" not in str(refusal.value)
