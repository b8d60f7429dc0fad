"""Reads the photos of a request from a form, a JSON object or the body."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from catalogue.photo import DownloadLimits
from catalogue.urls import Scheme, parse_url
from models.errors import ImageError, ImageFault
from models.preprocess import MAX_BYTES
from models.text import one_line
from web.pictures import fetch_photos
from web.responses import Problem
from web.security import MAX_BODY

MAX_PHOTOS: Final = 256
_HELD: Final = 2 * MAX_BODY
_BODY_S: Final = 120.0
_FETCH_S: Final = 60.0
_FETCHES: Final = 8
_DOWNLOADS: Final = DownloadLimits(total_s=20.0, at_once=16, tries=2, patience_s=20.0, longest_after_s=5.0)
_LONGEST_NAME: Final = 200
_LONGEST_JSON: Final = 4 * 1024 * 1024
_KINDS: Final = "multipart/form-data, application/json with urls, image/* or application/octet-stream"


@dataclass(frozen=True)
class SentPhoto:
    """A photo of a request.

    Attributes:
        name: file name or URL.
        data: the bytes, or the error. None before the download.
    """

    name: str
    data: bytes | ImageError | None = None


class _Held:
    """Counts one request's bytes. ``hold`` adds bytes to the server's total. Raises Problem above the limit."""

    def __init__(self, hold: Callable[[int], None]) -> None:
        self._hold = hold
        self.size = 0

    def add(self, size: int) -> None:
        self._hold(size)
        self.size += size


class PhotoBodies:
    """Reads the photos of requests. Limits the total bytes of all requests.

    Args:
        allow_hosts: hosts that may have private addresses, each ``HOST:PORT``.
    """

    def __init__(self, allow_hosts: Sequence[str] = ()) -> None:
        self._allow_hosts = allow_hosts
        self._held = 0
        self._fetching = 0
        self._lock = Lock()

    @asynccontextmanager
    async def photos(self, request: Request) -> AsyncIterator[list[SentPhoto]]:
        """Read the photos of a request, in order. Raises Problem."""
        held = _Held(self._hold)
        try:
            photos = await _read_in_time(request, held)
            if not photos:
                raise Problem(422, "Expected at least one photo, got none; send files or urls.")
            yield await self._with_fetched(photos, held)
        finally:
            self._hold(-held.size)

    def _hold(self, size: int) -> None:
        with self._lock:
            if size > 0 and self._held + size > _HELD:
                raise Problem(429, "Too many photos are being uploaded; try again.", {"retry-after": "2"})
            self._held += size

    async def _with_fetched(self, photos: list[SentPhoto], held: _Held) -> list[SentPhoto]:
        urls = [photo.name for photo in photos if photo.data is None]
        if not urls:
            return photos
        if self._fetching >= _FETCHES:
            raise Problem(429, "Too many photos are being downloaded; try again.", {"retry-after": "2"})
        self._fetching += 1
        try:
            fetched = iter(await run_in_threadpool(self._fetch, urls, held))
        finally:
            self._fetching -= 1
        return [replace(photo, data=next(fetched)) if photo.data is None else photo for photo in photos]

    def _fetch(self, urls: list[str], held: _Held) -> list[bytes | ImageError]:
        refused = {place: error for place, url in enumerate(urls) if (error := _refusal(url))}
        cells = {place: url for place, url in enumerate(urls) if place not in refused}
        photos: dict[int, bytes | ImageError] = {**refused}
        for place, photo in fetch_photos(cells, "/", self._allow_hosts, _DOWNLOADS, _FETCH_S):
            photos[place] = photo
            if isinstance(photo, ImageError):
                continue
            if held.size + len(photo) > MAX_BODY:
                msg = f"Expected at most {MAX_BODY:,} bytes for all photos of a request; send fewer URLs."
                photos[place] = ImageError(msg, ImageFault.TOO_LARGE)
            else:
                held.add(len(photo))
        return [photos[place] for place in range(len(urls))]


def _refusal(url: str) -> ImageError | None:
    try:
        if parse_url(url).scheme is not Scheme.S3:
            return None
    except ImageError as error:
        return error
    msg = f"Expected a URL of http or https, got {one_line(url, 100)}; send the photo itself."
    return ImageError(msg, ImageFault.REFUSED)


async def _read_in_time(request: Request, held: _Held) -> list[SentPhoto]:
    try:
        async with asyncio.timeout(_BODY_S):
            return await _read(request, held)
    except TimeoutError:
        raise Problem(408, f"The photos did not arrive within {_BODY_S:g} s; send fewer at once.") from None


async def _read(request: Request, held: _Held) -> list[SentPhoto]:
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind == b"multipart/form-data":
        return await _form(request, held)
    if kind == b"application/json":
        return _json(await _whole(request, held, _LONGEST_JSON))
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return [_file("photo", await _whole(request, held, MAX_BODY))]
    raise Problem(415, f"Expected {_KINDS}, got {one_line(kind.decode('latin-1'), 60) or 'no Content-Type'}.")


async def _whole(request: Request, held: _Held, most: int) -> bytes:
    return b"".join([piece async for piece in _pieces(request, held, most)])


async def _pieces(request: Request, held: _Held, most: int) -> AsyncGenerator[bytes, None]:
    before = held.size
    async for piece in request.stream():
        held.add(len(piece))
        if held.size - before > most:
            raise Problem(413, f"Expected at most {most:,} bytes; send fewer photos at once.")
        if piece:
            yield piece


def _json(body: bytes) -> list[SentPhoto]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    urls = sent.get("urls") if isinstance(sent, dict) and set(sent) == {"urls"} else None
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise Problem(422, 'Expected a JSON object {"urls": ["https://…", …]}, got something else.')
    _check_number(len(urls))
    return [SentPhoto(url) for url in urls]


def _check_number(photos: int) -> None:
    if photos > MAX_PHOTOS:
        raise Problem(413, f"Expected at most {MAX_PHOTOS} photos in a request, got more; send fewer at once.")


def _file(name: str, data: bytes) -> SentPhoto:
    if len(data) > MAX_BYTES:
        msg = f"Expected at most {MAX_BYTES:,} bytes, got {len(data):,}; save a smaller copy."
        return SentPhoto(name, ImageError(msg, ImageFault.TOO_LARGE))
    return SentPhoto(name, data)


async def _form(request: Request, held: _Held) -> list[SentPhoto]:
    parser = _FormParser(request.headers, _pieces(request, held, MAX_BODY), max_files=MAX_PHOTOS, max_fields=MAX_PHOTOS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        status = 413 if error.message.startswith("Too many") else 422
        raise Problem(status, f"Expected a form of at most {MAX_PHOTOS} photos: {error.message}") from error
    if not parser.is_whole:
        raise Problem(422, "Expected a complete form, but it is cut off; send it again.")
    _check_number(len(form))
    return [await _part(name, value) for name, value in form.multi_items()]


async def _part(name: str, value: UploadFile | str) -> SentPhoto:
    if isinstance(value, UploadFile):
        data = await value.read()
        await value.close()
        return _file((value.filename or "photo")[:_LONGEST_NAME], data)
    if name != "urls":
        raise Problem(422, f"Expected files and fields named urls, got a field {one_line(name, 60)!r}; leave it out.")
    return SentPhoto(value)


class _FormParser(MultiPartParser):
    spool_max_size = MAX_BODY
    is_whole = False

    def on_end(self) -> None:
        self.is_whole = True
