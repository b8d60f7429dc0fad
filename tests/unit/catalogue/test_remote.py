"""A catalogue from a web server that fails for a while or for ever, and its temporary file."""

import gc
import gzip
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from catalogue.remote import UnnamedFile, WebLimits, fetch_url
from models.errors import InputError, JobError
from tests.unit.catalogue.scripted_server import Answer, ScriptedServer, open_scripted_server

DATA = b"image,sku\na.jpg,1\n" * 1000
LIMITS = WebLimits(max_bytes=10**6, pauses_s=(0.0, 0.0))
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA)
IN_CHUNKS = {"Transfer-Encoding": "chunked"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with open_scripted_server() as script:
        yield script


def fetched(server: ScriptedServer, url: str, *hosts: str, limits: WebLimits = LIMITS) -> bytes:
    file = io.BytesIO()
    fetch_url(url, file, [server.host, *hosts], limits)
    return file.getvalue()


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=500),
        Answer(status=503),
        Answer(status=429, headers={"Retry-After": "0"}),
        Answer(DATA[:50], length=len(DATA)),
        Answer(CHUNKED[:-1], headers=IN_CHUNKS, sized=False),
    ],
    ids=["500", "503", "429", "cut short", "chunks cut short"],
)
def test_a_passing_fault_is_tried_again(server: ScriptedServer, fault: Answer) -> None:
    server.answers["/a.csv"] = [fault, fault, Answer(DATA)]
    assert fetched(server, server.url("/a.csv")) == DATA


@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
@pytest.mark.parametrize("cut", [0, 100], ids=["one member", "two members"])
def test_a_catalogue_that_its_host_gzips_unasked_is_unpacked(server: ScriptedServer, cut: int, coding: str) -> None:
    members = [gzip.compress(part) for part in (DATA[:cut], DATA[cut:]) if part]
    server.answers["/a.csv"] = [Answer(b"".join(members), headers={"Content-Encoding": coding})]
    assert fetched(server, server.url("/a.csv")) == DATA


def moved(place: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": place})


GZIPPED = {"Content-Encoding": "gzip"}
GONE_WRONG = {
    "not found": (Answer(status=404), InputError, "404"),
    "forbidden": (Answer(status=403), InputError, "403"),
    "always down": (Answer(status=503), JobError, "503"),
    "cut short": (Answer(DATA, length=len(DATA) + 1), JobError, "ClientPayloadError"),
    "a web page": (Answer(b"\n<!DOCTYPE html><title>Sign in</title>"), InputError, "web page"),
    "endless": (Answer(CHUNKED[:-5], headers=IN_CHUNKS, endless=True), InputError, "1,000,000 bytes"),
    "compressed": (Answer(DATA, headers={"Content-Encoding": "br"}), InputError, "'br'"),
    "no gzip": (Answer(DATA, headers=GZIPPED), InputError, "damaged gzip"),
    "a gzip cut short": (Answer(gzip.compress(DATA)[:-9], headers=GZIPPED), JobError, "incomplete gzip"),
    "a gzip with more after it": (Answer(gzip.compress(DATA) + b"x", headers=GZIPPED), JobError, "incomplete gzip"),
    "a gzip with a page after it": (Answer(gzip.compress(DATA) + DATA, headers=GZIPPED), InputError, "damaged gzip"),
    "a gzip that expands": (Answer(gzip.compress(bytes(10**7)), headers=GZIPPED), InputError, "1,000,000 bytes"),
    "in circles": (moved("/a.csv"), InputError, "5 times"),
    "to nowhere": (Answer(status=302), InputError, "redirected"),
    "to a file": (moved("file:///etc/passwd"), InputError, "redirected"),
    "to another address": (moved("http://169.254.169.254/latest"), InputError, "public"),
    "to a name of loopback": (moved("http://localhost:1/", 301), InputError, "public"),
}


@pytest.mark.parametrize(("answer", "kind", "names"), GONE_WRONG.values(), ids=GONE_WRONG)
def test_what_goes_wrong_is_told_with_the_url_and_no_secret(server, answer, kind, names) -> None:
    server.answers["/a.csv"] = [answer]
    with pytest.raises(kind, match=names) as refusal:
        fetched(server, f"http://me:SECRET@{server.host}/a.csv?SECRET")
    assert "SECRET" not in str(refusal.value)
    assert names == "public" or server.url("/a.csv") in str(refusal.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001"])
def test_only_public_addresses_are_asked(server: ScriptedServer, host: str) -> None:
    server.answers["/a.csv"] = [Answer(DATA)]
    with pytest.raises(InputError):
        fetch_url(f"http://{host}:{server.port}/a.csv", io.BytesIO(), limits=LIMITS)
    assert server.asked == []


def test_a_password_stays_with_its_host(server: ScriptedServer) -> None:
    elsewhere = f"localhost:{server.port}"
    server.answers["/a.csv"] = [moved("b.csv", 307)]
    server.answers["/b.csv"] = [moved(f"http://{elsewhere}/c.csv", 301)]
    server.answers["/c.csv"] = [Answer(DATA)]
    assert fetched(server, f"http://me:SECRET@{server.host}/a.csv", elsewhere) == DATA
    sent = [(path, password is not None) for path, password in server.asked]
    assert sent == [("/a.csv", True), ("/b.csv", True), ("/c.csv", False)]


WITHOUT_AN_END = {
    "ends with the connection": Answer(DATA[:400], sized=False),
    "coded in another way than chunks": Answer(DATA, headers={"Transfer-Encoding": "identity"}, sized=False),
}


@pytest.mark.parametrize("answer", WITHOUT_AN_END.values(), ids=WITHOUT_AN_END)
def test_what_says_nothing_of_its_end_is_refused(server: ScriptedServer, answer: Answer) -> None:
    server.answers["/a.csv"] = [answer]
    with pytest.raises(InputError, match="Content-Length"):
        fetched(server, server.url("/a.csv"))
    assert len(server.asked) == 1


def test_what_comes_in_chunks_comes_whole(server: ScriptedServer) -> None:
    server.answers["/a.csv"] = [Answer(CHUNKED, headers=IN_CHUNKS, sized=False)]
    assert fetched(server, server.url("/a.csv")) == DATA


def test_all_tries_together_may_have_a_limit(server: ScriptedServer) -> None:
    with pytest.raises(JobError, match="within 0 s"):
        fetched(server, server.url("/a.csv"), limits=WebLimits(all_s=0.0))
    assert server.asked == []


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        (WebLimits(clock=count(0.0, 61.0).__next__), "61 s"),
        (WebLimits(clock=count(0.0, 4000.0).__next__, least_bytes=0, total_s=3600.0), "1 h"),
    ],
    ids=["drips", "for ever"],
)
def test_a_host_that_drips_is_not_awaited_for_ever(server: ScriptedServer, limits: WebLimits, names: str) -> None:
    server.answers["/a.csv"] = [Answer(DATA)]
    with pytest.raises(JobError, match=names):
        fetched(server, server.url("/a.csv"), limits=limits)
    assert len(server.asked) == 1


def test_a_host_that_never_ends_its_headers_is_not_awaited_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(JobError, match="TimeoutError"):
            fetch_url(f"http://{host}/a.csv", io.BytesIO(), [host], WebLimits(pauses_s=(), answer_s=0.05))


@pytest.mark.parametrize(
    "host", ["a" * 64 + ".example", "-shop-.example", "☃" * 60 + ".example", "sho p.example", "a..b"]
)
def test_a_host_that_cannot_be_is_told_without_a_secret(host: str) -> None:
    with pytest.raises(InputError) as refusal:
        fetch_url(f"http://me:SECRET@{host}/a.csv?SECRET", io.BytesIO(), limits=LIMITS)
    assert "SECRET" not in str(refusal.value)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_file_without_a_name_is_read_by_its_path_and_its_room_is_free_when_nobody_holds_it(scratch: Path) -> None:
    unnamed = UnnamedFile()
    unnamed.path.write_bytes(b"one\ntwo\n")
    with unnamed.path.open() as one, unnamed.path.open() as other:
        assert (one.readline(), other.readline(), one.readline()) == ("one\n", "one\n", "two\n")
    assert list(scratch.iterdir()) == []
    number = unnamed.file.fileno()
    del unnamed
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_killed_process_leaves_no_file(scratch: Path) -> None:
    code = (
        "from catalogue.remote import UnnamedFile; import os, signal; f = UnnamedFile(); "
        "f.path.write_bytes(b'x' * 100000); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(scratch)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(scratch.iterdir()) == []
