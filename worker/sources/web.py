"""A catalogue's bytes from the web."""

import asyncio
from collections.abc import Sequence
from typing import BinaryIO, Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from models.errors import ImageError, InputError, JobError
from worker.photos.address import Addresses
from worker.sources.address import shown
from worker.sources.connector import check_host, checked_connector

__all__ = ["download"]

CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0
PAUSES_S: Final = (0.5, 1.0, 2.0)
"""Before a second try and those after it."""

MAX_PAUSE_S: Final = 30.0
MAX_BYTES: Final = 32 * 10**9
MAX_REDIRECTS: Final = 5

_PIECE: Final = 256 * 1024
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_OK: Final = 200


class _PassingError(JobError):
    """A fault that may be gone at the next try.

    Attributes:
        wait_s: how long the host asks to be left alone.
    """

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def download(
    url: str,
    file: BinaryIO,
    allow_hosts: Sequence[str] | None = None,
    pauses_s: Sequence[float] = PAUSES_S,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Fetch what is at an ``http(s)://`` URL, a piece at a time.

    Args:
        url: may hold user and password.
        file: where to.
        allow_hosts: ``HOST:PORT`` of hosts whose addresses need not be public.
        pauses_s: seconds before each try but the first, where faults are such as pass.
        max_bytes: that it may have.

    Raises:
        InputError: the host has no such file, gives something else, or is at an address that is not public.
        JobError: the host could not be reached, or what came was cut short, in each try.
    """
    asyncio.run(_patiently(url, file, allow_hosts, pauses_s, max_bytes))


async def _patiently(
    url: str, file: BinaryIO, allow_hosts: Sequence[str] | None, pauses_s: Sequence[float], max_bytes: int
) -> None:
    timeout = ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
    addresses = Addresses(allow_hosts or ())
    connector = checked_connector(addresses, CONNECT_TIMEOUT_S)
    async with ClientSession(connector=connector, timeout=timeout, cookie_jar=DummyCookieJar()) as session:
        for pause_s in pauses_s:
            try:
                await _once(session, url, file, addresses, max_bytes)
            except _PassingError as error:
                await asyncio.sleep(min(max(pause_s, error.wait_s), MAX_PAUSE_S))
            else:
                return
        await _once(session, url, file, addresses, max_bytes)


async def _once(session: ClientSession, url: str, file: BinaryIO, addresses: Addresses, max_bytes: int) -> None:
    here = URL(url)
    for _ in range(MAX_REDIRECTS + 1):
        try:
            check_host(here, addresses)
            async with session.get(here, allow_redirects=False) as answer:
                if answer.status in _MOVED:
                    here = _moved_to(answer, here, url)
                    continue
                _check_answer(answer, url)
                await _keep(answer, file, url, max_bytes)
                return
        except ImageError as error:  # of an address
            raise InputError(str(error)) from error
        except (ClientError, TimeoutError) as error:
            said = str(error).replace(url, shown(url))
            came = f"{type(error).__name__}: {said}".rstrip(": ")
            msg = f"Expected a catalogue at {shown(url)}, got {came}; check the URL, or try later."
            raise _PassingError(msg) from error
    msg = f"Expected a catalogue at {shown(url)}, the host redirected more than {MAX_REDIRECTS} times; check the URL."
    raise InputError(msg)


def _moved_to(answer: ClientResponse, here: URL, url: str) -> URL:
    location = answer.headers.get("Location", "")
    try:
        there = here.join(URL(location)) if location else URL()
    except ValueError:
        there = URL()
    if there.scheme not in {"http", "https"} or not there.host or (here.scheme == "https" and there.scheme == "http"):
        said = shown(str(there)) if there.host else "a place without a name"
        msg = f"Expected a catalogue at {shown(url)}, the host redirected to {said}, where we do not go; check the URL."
        raise InputError(msg)
    return there


def _check_answer(answer: ClientResponse, url: str) -> None:
    if answer.status == _OK:
        return
    said = f"Expected a catalogue at {shown(url)}, the host answered {answer.status} {answer.reason or ''}".rstrip()
    if answer.status in _PASSING:
        wait = answer.headers.get("Retry-After", "")
        msg = f"{said}; try later."
        raise _PassingError(msg, float(wait) if wait.isdecimal() else 0.0)
    msg = f"{said}; check the URL."
    raise InputError(msg)


async def _keep(answer: ClientResponse, file: BinaryIO, url: str, max_bytes: int) -> None:
    """Write the body from the file's start; another try may have written a part of it."""
    file.seek(0)
    file.truncate()
    count = 0
    async for piece in answer.content.iter_chunked(_PIECE):
        if not count and piece.lstrip().lower().startswith((b"<!doctype html", b"<html")):
            msg = f"Expected a catalogue at {shown(url)}, got a web page; is a sign-in needed?"
            raise InputError(msg)
        count += len(piece)
        if count > max_bytes:
            msg = (
                f"Expected at most {max_bytes:,} bytes at {shown(url)}, more came; cut the catalogue in pieces, or "
                "make room in TMPDIR."
            )
            raise InputError(msg)
        file.write(piece)
    file.flush()
