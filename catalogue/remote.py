"""Downloads a catalogue from the web or from S3, into a temporary file without a name."""

import asyncio
import tempfile
import time
import weakref
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from shutil import disk_usage
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from catalogue.addresses import Addresses, CheckedResolver, checked_socket, system_lookup
from catalogue.fetch import Gzip
from catalogue.urls import S3_SCHEME, parse_url, safe_url, suffix_of
from models.errors import ImageError, InputError, JobError, MissingExtraError
from models.photo import is_hidden
from models.preprocess import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from models.storage.object_storage import ObjectStorage

CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0
MAX_PAUSE_S: Final = 30.0
MAX_REDIRECTS: Final = 5
_PIECE: Final = 256 * 1024
_WINDOW_S: Final = 60.0
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_OK: Final = 200


class UnnamedFile:
    """A temporary file without a name.

    Closing the file, or ending the process, frees its disk space. Other processes cannot open ``path``.
    """

    def __init__(self) -> None:
        self.file = cast("BinaryIO", tempfile.TemporaryFile(prefix="hangtag-"))  # noqa: SIM115 - closed by close()
        self.path = Path(f"/proc/self/fd/{self.file.fileno()}")
        self._finalizer = weakref.finalize(self, self.file.close)

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._finalizer()


def fetch_catalogue(url: str, allow_hosts: Sequence[str] = (), within_s: float | None = None) -> UnnamedFile:
    """Download the file at an ``s3://`` or ``http(s)://`` URL. The URL may contain user and password.

    ``allow_hosts``: hosts that may have private addresses, each ``HOST:PORT``. ``within_s``: seconds for a download
    over HTTP.

    Raises InputError, JobError, MissingExtraError.
    """
    file = UnnamedFile()
    try:
        if url.startswith(S3_SCHEME):
            _fetch_object(url, file.path)
        else:
            room = disk_usage(tempfile.gettempdir()).free // 2
            fetch_url(url, file.file, allow_hosts, WebLimits(max_bytes=min(WebLimits.max_bytes, room), all_s=within_s))
    except OSError as error:
        place = tempfile.gettempdir()
        msg = f"Expected to write {safe_url(url)} to {place}, got {error}; set TMPDIR to a folder with free space."
        raise JobError(msg) from error
    return file


def _fetch_object(url: str, file: Path) -> None:
    folder, _, name = url.rpartition("/")
    try:
        _bucket(folder).fetch(name, file)
    except FileNotFoundError as error:
        msg = f"Expected a catalogue at {url}, found none in S3; check the URL."
        raise InputError(msg) from error


def bucket_images(url: str, left_out: Counter[str]) -> Iterator[str]:
    """The images under an ``s3://`` URL: relative keys, sorted by their UTF-8 bytes.

    Skips hidden files and folders. ``left_out`` counts the files that are not images, by extension.
    Raises JobError, MissingExtraError.
    """
    for key in _bucket(url).walk():
        path = PurePosixPath(key)
        if key.endswith("/") or any(map(is_hidden, path.parts)):
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            yield key
        else:
            left_out[path.suffix.lower()] += 1


def _bucket(url: str) -> "ObjectStorage":
    try:
        from models.storage.object_storage import ObjectStorage
    except ImportError as error:
        msg = f"Catalogues in S3 need s3fs ({error}); pip install 'hangtag[s3]'."
        raise MissingExtraError(msg) from error
    return ObjectStorage(url)


@dataclass(frozen=True)
class WebLimits:
    """Limits for the download of a catalogue.

    Attributes:
        max_bytes: size of the file.
        pauses_s: seconds to wait before each retry.
        answer_s: timeout for the response headers, in seconds.
        least_bytes: minimum bytes per minute.
        total_s: seconds for one try.
        all_s: seconds for all tries and the pauses between them.
    """

    max_bytes: int = 32 * 10**9
    pauses_s: Sequence[float] = (0.5, 1.0, 2.0)
    answer_s: float = 60.0
    least_bytes: int = 64 * 1024
    total_s: float = 24 * 3600.0
    all_s: float | None = None
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class _Download:
    url: str
    file: BinaryIO
    limits: WebLimits
    addresses: Addresses

    @property
    def expected(self) -> str:
        return f"Expected a catalogue at {safe_url(self.url)}"


class _PassingError(JobError):
    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def fetch_url(url: str, file: BinaryIO, allow_hosts: Sequence[str] = (), limits: WebLimits = WebLimits()) -> None:
    """Download an ``http(s)://`` URL into ``file``, piece by piece. See :func:`fetch_catalogue`."""
    asyncio.run(_download_in_time(_Download(url, file, limits, Addresses(allow_hosts))))


async def _download_in_time(download: _Download) -> None:
    try:
        async with asyncio.timeout(download.limits.all_s):
            await _try_repeatedly(download)
    except TimeoutError:
        msg = (
            f"{download.expected} within {download.limits.all_s:g} s, but the download takes longer; download the "
            "file yourself, and pass its path."
        )
        raise JobError(msg) from None


async def _try_repeatedly(download: _Download) -> None:
    names = CheckedResolver(download.addresses, system_lookup, CONNECT_TIMEOUT_S)
    sockets = partial(checked_socket, download.addresses)
    async with ClientSession(
        connector=TCPConnector(resolver=names, use_dns_cache=False, socket_factory=sockets),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S),
        cookie_jar=DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    ) as session:
        for pause_s in download.limits.pauses_s:
            try:
                return await _try_once(session, download)
            except _PassingError as error:
                await asyncio.sleep(min(max(pause_s, error.wait_s), MAX_PAUSE_S))
        return await _try_once(session, download)


async def _try_once(session: ClientSession, download: _Download) -> None:
    try:
        url = URL(download.url)
    except ValueError as error:  # an invalid host name
        reason = str(error).replace(download.url, safe_url(download.url))[:200]
        msg = f"{download.expected}, but the URL is invalid: {reason}."
        raise InputError(msg) from error
    for _ in range(MAX_REDIRECTS + 1):
        try:
            download.addresses.check_ip_host(parse_url(safe_url(str(url))))  # the resolver checks host names
            async with asyncio.timeout(download.limits.answer_s):  # limits headers that arrive byte by byte
                response = await session.get(url, allow_redirects=False)
            async with response as answer:
                if answer.status not in _MOVED:
                    _check_answer(answer, download)
                    await _write_body(answer, download)
                    return
                url = _redirect(answer, url, download)
        except ImageError as error:  # a forbidden address
            raise InputError(str(error)) from error
        except (ClientError, TimeoutError) as error:
            reason = f"{type(error).__name__}: {str(error).replace(download.url, safe_url(download.url))}".rstrip(": ")
            msg = f"{download.expected}, got {reason}; check the URL, or try later."
            raise _PassingError(msg) from error
    msg = f"{download.expected}, but the host redirected more than {MAX_REDIRECTS} times; check the URL."
    raise InputError(msg)


def _redirect(answer: ClientResponse, url: URL, download: _Download) -> URL:
    location = answer.headers.get("Location", "")
    try:
        target = url.join(URL(location)) if location else URL()
    except ValueError:
        target = URL()
    if target.scheme not in {"http", "https"} or not target.host or (url.scheme == "https" and target.scheme == "http"):
        place = safe_url(str(target)) if target.host else "a URL without a host"
        msg = f"{download.expected}, but the host redirected to {place}, which is not allowed; check the URL."
        raise InputError(msg)
    return target


def _check_answer(answer: ClientResponse, download: _Download) -> None:
    status = f"{download.expected}, but the host answered {answer.status} {answer.reason or ''}".rstrip()
    if answer.status in _PASSING:
        wait = answer.headers.get("Retry-After", "")
        msg = f"{status}; try later."
        raise _PassingError(msg, float(wait) if wait.isdecimal() else 0.0)
    if answer.status != _OK:
        msg = f"{status}; check the URL."
        raise InputError(msg)
    coding = _coding(answer)
    if coding not in {"identity", *Gzip.CODINGS}:
        msg = (
            f"{download.expected}, but the host sent it compressed as {coding[:40]!r}; configure the host to send "
            "the plain file."
        )
        raise InputError(msg)
    # for Parquet, pyarrow detects an incomplete file
    if not (_says_its_end(answer) or suffix_of(download.url) == ".parquet"):
        msg = (
            f"{download.expected}, but the host does not send its length, so an incomplete file would look "
            "complete; configure the host to send Content-Length, or download the file and pass its path."
        )
        raise InputError(msg)


def _coding(answer: ClientResponse) -> str:
    return answer.headers.get("Content-Encoding", "identity").strip().lower()


def _says_its_end(answer: ClientResponse) -> bool:
    """Whether an incomplete body can be detected (RFC 9112, 6.3)."""
    codings = ",".join(answer.headers.getall("Transfer-Encoding", ()))
    return codings.lower().endswith("chunked") if codings else answer.content_length is not None


async def _write_body(answer: ClientResponse, download: _Download) -> None:
    file, limits = download.file, download.limits
    file.seek(0)
    file.truncate()
    count = 0
    async for piece in (
        _unpacked(answer, download) if _coding(answer) in Gzip.CODINGS else _pieces_in_time(answer, download)
    ):
        if not count and piece.lstrip().lower().startswith((b"<!doctype html", b"<html")):
            msg = f"{download.expected}, got a web page; check whether the URL needs a login."
            raise InputError(msg)
        count += len(piece)
        if count > limits.max_bytes:
            msg = (
                f"Expected at most {limits.max_bytes:,} bytes at {safe_url(download.url)}, got more; split "
                "the file, or free space in TMPDIR."
            )
            raise InputError(msg)
        file.write(piece)
    file.flush()


async def _unpacked(answer: ClientResponse, download: _Download) -> AsyncIterator[bytes]:
    gzip = Gzip()
    try:
        async for packed in _pieces_in_time(answer, download):
            for piece in gzip.unpack(packed):
                yield piece
    except zlib.error as error:
        msg = f"{download.expected}, but the host sent a damaged gzip; configure the host to send the plain file."
        raise InputError(msg) from error
    if not gzip.is_whole:
        msg = f"{download.expected}, but the host sent an incomplete gzip; try later."
        raise _PassingError(msg)


async def _pieces_in_time(answer: ClientResponse, download: _Download) -> AsyncIterator[bytes]:
    limits = download.limits
    start = since = limits.clock()
    count = 0
    async for piece in answer.content.iter_chunked(_PIECE):
        yield piece
        count += len(piece)
        now = limits.clock()
        if now - start > limits.total_s:
            msg = (
                f"{download.expected} within {limits.total_s / 3600:,.0f} h, but the download takes longer; split "
                "the file."
            )
            raise JobError(msg)
        if now - since >= _WINDOW_S:
            if count < limits.least_bytes:
                msg = (
                    f"{download.expected}, but the download is too slow: received {count:,} bytes in "
                    f"{now - since:,.0f} s; try later, or download the file and pass its path."
                )
                raise JobError(msg)
            since, count = now, 0
