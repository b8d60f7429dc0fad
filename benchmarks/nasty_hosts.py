"""A misbehaving web server, and the right result for each of its faults."""

import asyncio
import gzip
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

Writer = asyncio.StreamWriter
Answer = Callable[[Writer, int], Awaitable[None]]

LABELLED: Final = frozenset({None})
REFUSED: Final = frozenset({"refused"})
DOWNLOAD: Final = frozenset({"download"})
LATE: Final = frozenset({"download", "timeout"})
_PATIENCE_S: Final = 90.0


@dataclass(frozen=True)
class Case:
    """A row of the catalogue.

    Attributes:
        what: the host's fault.
        url: the image cell.
        ends: allowed kinds of error; None for a labelled photo.
    """

    what: str
    url: str
    ends: frozenset[str | None]


def _whole(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _says(*answers: bytes) -> Answer:
    """Send the answers in turn, and then repeat the last answer."""

    async def answer(writer: Writer, asked: int) -> None:
        writer.write(answers[min(asked, len(answers)) - 1])
        await writer.drain()

    return answer


def _redirects(location: str) -> Answer:
    return _says(_whole(b"", "302 Found", f"Location: {location}"))


def _leads_on(photo: bytes) -> Answer:
    return _says(_whole(b"", "302 Found", "Location: /b.jpg"), _whole(photo))


async def _hang_up(_writer: Writer, _asked: int) -> None:
    """Send no answer; the caller closes the connection."""


async def _stay_silent(_writer: Writer, _asked: int) -> None:
    await asyncio.sleep(_PATIENCE_S)


async def _drip(writer: Writer, _asked: int) -> None:
    writer.write(_whole(b"", length=100_000))
    for _ in range(int(_PATIENCE_S)):
        writer.write(b"\xff")
        await writer.drain()
        await asyncio.sleep(1.0)


async def _never_end(writer: Writer, _asked: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    block = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    while True:
        writer.write(block)
        await writer.drain()


async def _late(writer: Writer, _asked: int, photo: bytes) -> None:
    await asyncio.sleep(2.0)
    writer.write(_whole(photo))


def _answers(photo: bytes) -> dict[str, tuple[Answer, frozenset[str | None]]]:
    page = b"<!doctype html><title>Not here</title>"
    fault = _whole(b"", "500 Internal Server Error")
    busy = _whole(b"", "429 Too Many Requests", "Retry-After: 1")
    bomb = gzip.compress(bytes(200_000_000), 1)
    return {
        "a photo": (_says(_whole(photo)), LABELLED),
        "500, then a photo": (_says(fault, _whole(photo)), LABELLED),
        "500 for ever": (_says(fault), LATE),
        "429 with Retry-After, then a photo": (_says(busy, _whole(photo)), LABELLED),
        "429 for ever": (_says(busy), LATE),
        "429 for an hour": (_says(_whole(b"", "429 Too Many Requests", "Retry-After: 3600")), LATE),
        "503 with an invalid Retry-After": (
            _says(_whole(b"", "503 Away", "Retry-After: soon"), _whole(photo)),
            LABELLED,
        ),
        "404": (_says(_whole(page, "404 Not Found")), frozenset({"missing"})),
        "403": (_says(_whole(page, "403 Forbidden")), DOWNLOAD),
        "cut short, then whole": (_says(_whole(photo[:2000], length=len(photo)), _whole(photo)), LABELLED),
        "cut short for ever": (_says(_whole(photo[:2000], length=len(photo))), LATE),
        "half a photo, complete by its length": (_says(_whole(photo[: len(photo) // 2])), frozenset({"unreadable"})),
        "a photo with Content-Type text/html": (_says(_whole(photo, "200 OK", "Content-Type: text/html")), LABELLED),
        "a page with Content-Type image/jpeg": (
            _says(_whole(page, "200 OK", "Content-Type: image/jpeg")),
            frozenset({"unreadable"}),
        ),
        "an empty body": (_says(_whole(b"")), frozenset({"unreadable"})),
        "SMTP instead of HTTP": (_says(b"220 mail.example ESMTP\r\n"), LATE),
        "closes the connection at once": (_hang_up, LATE),
        "never answers": (_stay_silent, LATE),
        "a byte a second": (_drip, LATE),
        "2 s late": (lambda writer, asked: _late(writer, asked, photo), LABELLED),
        "a body without end": (_never_end, frozenset({"too_large"})),
        "a Content-Length of 10 GB": (_says(_whole(photo, length=10_000_000_000)), frozenset({"too_large"})),
        "a gzip bomb": (
            _says(_whole(bomb, "200 OK", "Content-Encoding: gzip")),
            frozenset({"download", "too_large", "unreadable"}),
        ),
        "redirects to a photo": (_leads_on(photo), LABELLED),
        "redirects to itself": (_redirects("/a.jpg"), DOWNLOAD | REFUSED),
        "redirects to loopback": (_redirects("http://127.0.0.1:1/a.jpg"), REFUSED),
        "redirects to localhost": (_redirects("http://localhost:1/a.jpg"), REFUSED),
        "redirects to the cloud's metadata": (_redirects("http://169.254.169.254/latest/meta-data/"), REFUSED),
        "redirects to a private address": (_redirects("http://10.0.0.1/a.jpg"), REFUSED),
        "redirects to an IPv4-mapped address": (_redirects("http://[::ffff:127.0.0.1]:1/a.jpg"), REFUSED),
        "redirects to a file": (_redirects("file:///etc/passwd"), REFUSED),
        "redirects without Location": (_says(_whole(b"", "302 Found")), DOWNLOAD),
    }


ELSEWHERE: Final = {
    "loopback": "http://127.0.0.1:1/a.jpg",
    "loopback as a number": "http://2130706433:1/a.jpg",
    "loopback in octal": "http://0177.0.0.1:1/a.jpg",
    "loopback in short form": "http://127.1:1/a.jpg",
    "loopback in IPv6": "http://[::1]:1/a.jpg",
    "the cloud's metadata": "http://169.254.169.254/latest/meta-data/",
    "the cloud's metadata in IPv6": "http://[fd00:ec2::254]/latest/meta-data/",
    "a private address": "http://192.168.0.1/a.jpg",
    "the address 0.0.0.0": "http://0.0.0.0:1/a.jpg",
    "a file": "file:///etc/passwd",
    "FTP": "ftp://127.0.0.1/a.jpg",
}


@contextmanager
def nasty_hosts(photo: bytes) -> Iterator[tuple[list[str], list[Case]]]:
    """Serve a host for each fault during the block; yield the hosts (``HOST:PORT``) and the rows."""
    answers = _answers(photo)
    loop, ready = asyncio.new_event_loop(), threading.Event()
    places: list[str] = []
    server = threading.Thread(target=_run, args=(loop, answers.values(), places, ready), daemon=True)
    server.start()
    ready.wait()
    named = zip(places, answers.items(), strict=True)
    here = [Case(what, f"http://{place}/a.jpg", ends) for place, (what, (_, ends)) in named]
    yield places, [*here, *(Case(what, url, REFUSED) for what, url in ELSEWHERE.items())]
    loop.call_soon_threadsafe(loop.stop)
    server.join()


def _run(
    loop: asyncio.AbstractEventLoop,
    answers: Iterable[tuple[Answer, frozenset[str | None]]],
    places: list[str],
    ready: threading.Event,
) -> None:
    async def start() -> None:
        for number, (answer, _) in enumerate(answers, start=1):
            listening = await asyncio.start_server(_Host(answer).serve, f"127.0.1.{number}", 0)
            places.append("{}:{}".format(*listening.sockets[0].getsockname()))
        ready.set()

    loop.run_until_complete(start())
    loop.run_forever()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


class _Host:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self._asked += 1
            await self._answer(writer, self._asked)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the client left, or the server stops
        finally:
            writer.close()
