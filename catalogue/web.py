"""A catalogue's bytes from the web."""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from catalogue.addresses import Addresses
from catalogue.cells import parse_url
from catalogue.host_names import CheckedNames, checked_socket, system_lookup
from catalogue.urls import shown
from models.errors import ImageError, InputError, JobError

CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0
MAX_PAUSE_S: Final = 30.0
MAX_REDIRECTS: Final = 5
_PIECE: Final = 256 * 1024
_WINDOW_S: Final = 60.0
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_OK: Final = 200
_CODINGS: Final = ("gzip", "identity")
_GZIP: Final = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class WebLimits:
    """What a catalogue's download may take.

    Attributes:
        max_bytes: of the unpacked file.
        pauses_s: before each try but the first, after faults that may pass.
        answer_s: until an answer's headers have arrived.
        least_bytes: that must arrive in each minute.
        total_s: of one try.
        clock: a monotonic time in seconds.
    """

    max_bytes: int = 32 * 10**9
    pauses_s: Sequence[float] = (0.5, 1.0, 2.0)
    answer_s: float = 60.0
    least_bytes: int = 64 * 1024
    total_s: float = 24 * 3600.0
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class _Wanted:
    """A file to download, where it goes, and the limits; ``unsized`` as in :func:`download`."""

    url: str
    file: BinaryIO
    limits: WebLimits
    unsized: bool

    @property
    def expected(self) -> str:
        """The beginning of a message about the file."""
        return f"Expected a catalogue at {shown(self.url)}"


class _PassingError(JobError):
    """A fault that may be gone at the next try; ``wait_s`` is how long the host asks us to wait."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def download(
    url: str,
    file: BinaryIO,
    allow_hosts: Sequence[str] | None = None,
    limits: WebLimits | None = None,
    *,
    unsized: bool = False,
) -> None:
    """Fetch what is at an ``http(s)://`` URL, a piece at a time.

    Args:
        url: may hold user and password.
        file: to write to.
        allow_hosts: ``HOST:PORT`` of hosts whose addresses need not be public.
        limits: of the download. Default: the usual ones.
        unsized: whether to take a body that ends when the connection does: it looks like one that was cut short.

    Raises:
        InputError: the host has no such file, gives something else, gives no length, or has an address that is not
            public.
        JobError: in each try the host could not be reached or its answer was cut short; or it is too slow.
    """
    asyncio.run(_patiently(_Wanted(url, file, limits or WebLimits(), unsized), Addresses(allow_hosts or ())))


async def _patiently(wanted: _Wanted, addresses: Addresses) -> None:
    """Try again after faults that may pass. Addresses are checked once resolved, and again before each connection."""
    names, checked = CheckedNames(addresses, system_lookup, CONNECT_TIMEOUT_S), partial(checked_socket, addresses)
    async with ClientSession(
        connector=TCPConnector(resolver=names, use_dns_cache=False, socket_factory=checked),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S),
        cookie_jar=DummyCookieJar(),
        headers={"Accept-Encoding": ", ".join(_CODINGS)},
        auto_decompress=False,  # which takes half a gzip file for a whole one (seen with aiohttp 3.14)
    ) as session:
        for pause_s in wanted.limits.pauses_s:
            try:
                return await _once(session, wanted, addresses)
            except _PassingError as error:
                await asyncio.sleep(min(max(pause_s, error.wait_s), MAX_PAUSE_S))
        return await _once(session, wanted, addresses)


async def _once(session: ClientSession, wanted: _Wanted, addresses: Addresses) -> None:
    try:
        here = URL(wanted.url)
    except ValueError as error:  # of a host that is no name
        msg = f"{wanted.expected}, the URL is invalid: {str(error).replace(wanted.url, shown(wanted.url))[:200]}."
        raise InputError(msg) from error
    for _ in range(MAX_REDIRECTS + 1):
        try:
            addresses.check_literal(parse_url(shown(str(here))))  # names are checked when they are resolved
            async with asyncio.timeout(wanted.limits.answer_s):  # a host that drips its headers is not awaited for ever
                asked = await session.get(here, allow_redirects=False)
            async with asked as answer:
                if answer.status in _MOVED:
                    here = _moved_to(answer, here, wanted)
                    continue
                _check_answer(answer, wanted)
                await _keep(answer, wanted)
                return
        except ImageError as error:  # of an address
            raise InputError(str(error)) from error
        except (ClientError, TimeoutError) as error:
            said = str(error).replace(wanted.url, shown(wanted.url))
            came = f"{type(error).__name__}: {said}".rstrip(": ")
            msg = f"{wanted.expected}, got {came}; check the URL, or try later."
            raise _PassingError(msg) from error
    msg = f"{wanted.expected}, the host redirected more than {MAX_REDIRECTS} times; check the URL."
    raise InputError(msg)


def _moved_to(answer: ClientResponse, here: URL, wanted: _Wanted) -> URL:
    location = answer.headers.get("Location", "")
    try:
        there = here.join(URL(location)) if location else URL()
    except ValueError:
        there = URL()
    if there.scheme not in {"http", "https"} or not there.host or (here.scheme == "https" and there.scheme == "http"):
        said = shown(str(there)) if there.host else "a place without a name"
        msg = f"{wanted.expected}, the host redirected to {said}, which is not allowed; check the URL."
        raise InputError(msg)
    return there


def _check_answer(answer: ClientResponse, wanted: _Wanted) -> None:
    said = f"{wanted.expected}, the host answered {answer.status} {answer.reason or ''}".rstrip()
    if answer.status in _PASSING:
        wait = answer.headers.get("Retry-After", "")
        msg = f"{said}; try later."
        raise _PassingError(msg, float(wait) if wait.isdecimal() else 0.0)
    if answer.status != _OK:
        msg = f"{said}; check the URL."
        raise InputError(msg)
    if not (wanted.unsized or _says_its_end(answer)):
        msg = (
            f"{wanted.expected}, the host does not say how long it is, so that nothing tells whether all of it came; "
            "let the host send Content-Length, or download the file and name that. hangtag label and hangtag submit "
            "take it as it comes with --allow-unsized."
        )
        raise InputError(msg)


def _says_its_end(answer: ClientResponse) -> bool:
    """Whether a cut body can be told from a whole one (RFC 9112, 6.3)."""
    codings = ",".join(answer.headers.getall("Transfer-Encoding", ()))
    return codings.lower().endswith("chunked") if codings else answer.content_length is not None


async def _keep(answer: ClientResponse, wanted: _Wanted) -> None:
    """Write the body from the file's start, over what an earlier try has written."""
    file, limits = wanted.file, wanted.limits
    file.seek(0)
    file.truncate()
    count = 0
    async for piece in _unpacked(answer, wanted):
        if not count and piece.lstrip().lower().startswith((b"<!doctype html", b"<html")):
            msg = f"{wanted.expected}, got a web page; is a sign-in needed?"
            raise InputError(msg)
        count += len(piece)
        if count > limits.max_bytes:
            msg = (
                f"Expected at most {limits.max_bytes:,} bytes at {shown(wanted.url)}, more came; cut the catalogue in "
                "pieces, or make room in TMPDIR."
            )
            raise InputError(msg)
        file.write(piece)
    file.flush()


def _unpacked(answer: ClientResponse, wanted: _Wanted) -> AsyncIterator[bytes]:
    coding = answer.headers.get("Content-Encoding", "").strip().lower().removeprefix("x-") or "identity"
    if coding not in _CODINGS:
        msg = f"{wanted.expected}, the host sent it compressed as {coding[:40]!r}; let it send gzip, or the plain file."
        raise InputError(msg)
    pieces = _paced(answer, wanted)
    return pieces if coding == "identity" else _gunzipped(pieces, wanted)


async def _paced(answer: ClientResponse, wanted: _Wanted) -> AsyncIterator[bytes]:
    """The body's pieces, as long as they arrive quickly enough."""
    limits = wanted.limits
    start = since = limits.clock()
    count = 0
    async for piece in answer.content.iter_chunked(_PIECE):
        yield piece
        count += len(piece)
        now = limits.clock()
        if now - start > limits.total_s:
            msg = f"{wanted.expected} within {limits.total_s / 3600:,.0f} h, it takes longer; cut it in pieces."
            raise JobError(msg)
        if now - since >= _WINDOW_S:
            if count < limits.least_bytes:
                msg = (
                    f"{wanted.expected}, it is too slow: {count:,} bytes came in {now - since:,.0f} s; try later, "
                    "or download the file and name that."
                )
                raise JobError(msg)
            since, count = now, 0


async def _gunzipped(pieces: AsyncIterator[bytes], wanted: _Wanted) -> AsyncIterator[bytes]:
    """Unpack the pieces, into pieces of at most the same size."""
    unpack = zlib.decompressobj(_GZIP)
    try:
        async for piece in pieces:
            out, left = b"", piece
            while left or len(out) == _PIECE:
                if left and unpack.eof:  # a file of several members (RFC 1952, 2.2)
                    unpack = zlib.decompressobj(_GZIP)
                out = unpack.decompress(left, _PIECE)
                left = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
                yield out
    except zlib.error as error:
        msg = f"{wanted.expected}, its gzip compression is damaged ({error}); try later, or check the file at its host."
        raise _PassingError(msg) from error
    if not unpack.eof:
        msg = f"{wanted.expected}, its gzip compression was cut short; try later, or check the file at its host."
        raise _PassingError(msg)
