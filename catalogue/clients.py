"""Clients that download photos from web servers (aiohttp) and from S3. Calls are not retried."""

import socket
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from catalogue.addresses import Addresses, CheckedResolver, Lookup, checked_socket
from catalogue.fetch import FailedTry, Fetch, Gzip, Outcome, Received, Redirect, download_error, strong_etag
from catalogue.photo import DownloadLimits
from catalogue.urls import Scheme, Target, parse_url
from models.errors import ImageError, ImageFault, JobError
from models.text import one_line

if TYPE_CHECKING:
    from catalogue.s3 import S3Client

_HEADERS: Final = {"User-Agent": "hangtag", "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}
_WHOLE: Final = frozenset({200, 203})
_UNCHANGED: Final = 304
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_FORBIDDEN: Final = 403
_GONE: Final = frozenset({404, 410})
_PASSING: Final = frozenset({408, 425, 429})
_SERVER_FAULT: Final = 500
_BUFFER: Final = 256 * 1024
_LONGEST_AFTER_S: Final = 1e9
"""Upper limit for ``Retry-After``, in seconds. Larger numbers could overflow."""
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


class Clients:
    """An HTTP client and an S3 client. Must be created in the event loop."""

    def __init__(
        self, limits: DownloadLimits, addresses: Addresses, lookup: Lookup, headers: Mapping[str, str] | None = None
    ) -> None:
        self._limits = limits
        self._headers = headers or {}
        self._addresses = addresses
        names = CheckedResolver(addresses, lookup, limits.connect_s)
        self._keeping = _session(limits, names, addresses, keep=True)
        self._brief = _session(limits, names, addresses, keep=False)
        self._s3: S3Client | None = None

    async def ask(self, fetch: Fetch, *, keep: bool) -> Outcome:
        """Try a download once.

        ``fetch`` receives the bytes. ``keep``: reuse the connection for later photos. Raises ImageError, HangtagError.
        """
        if fetch.target.scheme is not Scheme.S3:
            return await self._ask_web(fetch, self._keeping if keep else self._brief)
        if self._s3 is None:
            try:
                from catalogue.s3 import S3Client
            except ImportError as error:
                msg = "Expected aiobotocore for photos in S3, found none; pip install 'hangtag[s3]' here."
                raise JobError(msg) from error
            self._s3 = S3Client(self._limits)
        return await self._s3.ask(fetch)

    async def _ask_web(self, fetch: Fetch, session: aiohttp.ClientSession) -> Outcome:
        self._addresses.check_ip_host(fetch.target)
        headers = dict(self._headers) if fetch.is_first_host else {}
        if fetch.etag_to_send:
            headers["If-None-Match"] = fetch.etag_to_send
        silent = True
        try:
            url = URL(fetch.target.text, encoded=True)
            async with session.get(url, headers=headers, allow_redirects=False) as answer:
                silent = False
                return await _read(fetch, answer)
        except (aiohttp.ClientError, OSError) as error:  # includes timeouts
            return _failed_try(fetch, error, silent=silent)
        except ValueError:  # a malformed header
            return FailedTry("sent an invalid HTTP response")

    async def close(self) -> None:
        """Close the connections."""
        await self._keeping.close()
        await self._brief.close()
        if self._s3:
            await self._s3.close()


def _session(
    limits: DownloadLimits, names: CheckedResolver, addresses: Addresses, *, keep: bool
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        resolver=names,
        ttl_dns_cache=limits.names_s,
        limit=0,  # the caller limits downloads per host
        force_close=not keep,
        socket_factory=partial(checked_socket, addresses),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_BUFFER,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s, sock_read=limits.idle_s),
    )


async def _read(fetch: Fetch, answer: aiohttp.ClientResponse) -> Outcome:
    status = answer.status
    if status in _WHOLE:
        return await _body(fetch, answer)
    if status == _UNCHANGED and fetch.etag_to_send:
        return Received(None, fetch.etag_to_send)
    if status in _REDIRECTS and "Location" in answer.headers:
        return _redirect(fetch.target, answer.headers["Location"])
    answered = f"answered {status} {one_line(answer.reason or '', 60)}".rstrip()
    if status in _PASSING or status >= _SERVER_FAULT:
        after_s = _retry_after(answer.headers.get("Retry-After", ""))
        wish = "" if after_s is None else f", requested a pause of {after_s:,.0f} s"
        return FailedTry(answered + wish, after_s=after_s)
    if status in _GONE:
        msg = f"Expected a photo at {fetch.url[:300]}, but its host {answered}; check the URL."
        raise ImageError(msg, ImageFault.MISSING)
    or_header = ", or pass a required --header, such as User-Agent" if status == _FORBIDDEN else ""
    raise download_error(fetch.url, f"its host {answered}; make the photo public{or_header}")


async def _body(fetch: Fetch, answer: aiohttp.ClientResponse) -> Received:
    coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"identity", "", *Gzip.CODINGS}:
        sent = f"its host sent the photo compressed ({one_line(coding, 60)}), although Accept-Encoding was identity"
        raise download_error(fetch.url, f"{sent}; configure the host to send photos uncompressed")
    if answer.content_length:
        fetch.check(answer.content_length)
    gzip = Gzip() if coding in Gzip.CODINGS else None
    while chunk := await answer.content.readany():
        if gzip:
            await _add_unpacked(fetch, gzip, chunk)
        else:
            await fetch.add(chunk)
    if gzip and not gzip.is_whole:
        raise download_error(fetch.url, "its host sent an incomplete gzip; configure it to send photos uncompressed")
    return Received(fetch.whole(), strong_etag(answer.headers.get("ETag")))


async def _add_unpacked(fetch: Fetch, gzip: Gzip, chunk: bytes) -> None:
    try:
        for piece in gzip.unpack(chunk):
            await fetch.add(piece)  # raises ImageError if the photo is too large
    except zlib.error as error:
        raise download_error(
            fetch.url, "its host sent a damaged gzip; configure it to send photos uncompressed"
        ) from error


def _redirect(target: Target, location: str) -> Redirect:
    there = parse_url(urljoin(target.text, location.strip()))
    if there.scheme is Scheme.S3 or (target.scheme is Scheme.HTTPS and there.scheme is Scheme.HTTP):
        msg = f"Expected {target.text[:200]} to redirect to https, but it leads to {there.text[:200]}; use another URL."
        raise ImageError(msg, ImageFault.REFUSED)
    return Redirect(there)


def _retry_after(header: str) -> float | None:
    header = header.strip()
    if header.isascii() and header.isdecimal():
        return min(float(header), _LONGEST_AFTER_S)
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), _LONGEST_AFTER_S)


def _failed_try(fetch: Fetch, error: Exception, *, silent: bool) -> FailedTry:
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            raise download_error(
                fetch.url, f"its host's certificate is not valid: {error}; correct the certificate"
            ) from error
        case aiohttp.InvalidURL():
            msg = f"Expected a URL, got {fetch.url[:300]}; correct it."
            raise ImageError(msg, ImageFault.REFUSED) from error
        case aiohttp.ClientConnectorDNSError(os_error=reason):
            lasting = isinstance(reason, socket.gaierror) and reason.errno in _NO_SUCH_NAME
            return FailedTry(f"has no address ({reason.strerror})", silent=True, lasting=lasting)
        case aiohttp.ClientResponseError(message=message):
            return FailedTry(f"sent an invalid HTTP response ({one_line(message, 60)})")
        case aiohttp.ClientConnectorError(os_error=reason):
            why = f"cannot be reached ({reason.strerror})"
        case _ if not silent:
            why = "stopped in the middle of the response"
        case _:
            why = "does not answer" if isinstance(error, TimeoutError) else "hung up"
    return FailedTry(why, silent=silent)
