"""The photos of a request: files and URLs of a form, URLs of a JSON object, or one photo that is the body itself."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final

from fastapi import Request
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from catalogue.photo import Limits, Wanted
from catalogue.photos import open_photos
from catalogue.urls import Scheme, parse_url
from models.errors import ImageError, ImageFault
from models.preprocess import MAX_BYTES
from models.text import one_line
from web.problems import Problem
from web.security import MAX_BODY

MAX_PHOTOS: Final = 256
_HELD: Final = 2 * MAX_BODY
_BODY_S: Final = 120.0
_FETCH_S: Final = 60.0
_FETCHES: Final = 8
_DOWNLOADS: Final = Limits(total_s=20.0, at_once=16, tries=2, patience_s=20.0, longest_after_s=5.0)
_LONGEST_NAME: Final = 200
_LONGEST_JSON: Final = 4 * 1024 * 1024
_KINDS: Final = "multipart/form-data, application/json with urls, image/* or application/octet-stream"


@dataclass(frozen=True)
class Given:
    """A photo of a request.

    Attributes:
        name: of the file, or the URL.
        data: its bytes, or why there are none; None where it is to be fetched.
    """

    name: str
    data: bytes | ImageError | None = None


class Held:
    """The bytes of one request."""

    def __init__(self, bodies: "PhotoBodies") -> None:
        self._bodies = bodies
        self.size = 0

    def add(self, size: int) -> None:
        """Count some more; a Problem, 429, where all requests together hold too many."""
        self._bodies.hold(size)
        self.size += size


class PhotoBodies:
    """Reads the photos of requests; what all of them hold in memory at once is limited.

    Args:
        allow_hosts: ``HOST:PORT`` of the hosts that may be asked for photos though their addresses are not public.
    """

    def __init__(self, allow_hosts: Sequence[str] = ()) -> None:
        self._allow_hosts = allow_hosts
        self._held = 0
        self._fetching = 0
        self._lock = Lock()

    @contextmanager
    def open(self) -> Iterator[Held]:
        """Count what a request holds until the block ends."""
        held = Held(self)
        try:
            yield held
        finally:
            self.hold(-held.size)

    def hold(self, size: int) -> None:
        """Count bytes that are held, or with a negative size let go."""
        with self._lock:
            if size > 0 and self._held + size > _HELD:
                raise Problem(429, "Too many photos are being sent at once; try again.", {"retry-after": "2"})
            self._held += size

    async def read(self, request: Request, held: Held) -> list[Given]:
        """The photos of a request, in order.

        Raises:
            Problem: 408, 413, 415, 422 or 429.
        """
        try:
            async with asyncio.timeout(_BODY_S):
                given = await _read(request, held)
        except TimeoutError:
            raise Problem(408, f"The photos did not come within {_BODY_S:g} s; send fewer at once.") from None
        if not given:
            raise Problem(422, "Expected at least one photo, got none; send files, or name urls.")
        return await self._fetched(given, held)

    async def _fetched(self, given: list[Given], held: Held) -> list[Given]:
        urls = [photo.name for photo in given if photo.data is None]
        if not urls:
            return given
        if self._fetching >= _FETCHES:
            raise Problem(429, "Too many photos are being fetched at once; try again.", {"retry-after": "2"})
        self._fetching += 1
        try:
            came = iter(await run_in_threadpool(self._fetch, urls, held))
        finally:
            self._fetching -= 1
        return [replace(photo, data=next(came)) if photo.data is None else photo for photo in given]

    def _fetch(self, urls: list[str], held: Held) -> list[bytes | ImageError]:
        """Photos at URLs, as the worker fetches them: private addresses are blocked, also behind redirects."""
        outcomes: dict[int, bytes | ImageError] = {}
        wanted: list[Wanted] = []
        for place, url in enumerate(urls):
            try:
                _check_web(url)
                wanted.append(Wanted(0, place, url))
            except ImageError as error:
                outcomes[place] = error
        until = time.monotonic() + _FETCH_S
        with closing(open_photos("/", self._allow_hosts, _DOWNLOADS, confined=True)) as photos:
            photos.want(wanted, {})
            while len(outcomes) < len(urls) and (left_s := until - time.monotonic()) > 0:
                photo = photos.take(left_s)
                if photo and photo.outcome is not None:
                    outcomes[photo.wanted.row] = _kept(photo.outcome, held)
        late = ImageError(f"The photo did not come within {_FETCH_S:g} s; try again.", ImageFault.TIMEOUT)
        return [outcomes.get(place, late) for place in range(len(urls))]


def _check_web(url: str) -> None:
    if parse_url(url).scheme is Scheme.S3:
        msg = f"Expected a URL of http or https, got {one_line(url, 100)}; send the photo itself."
        raise ImageError(msg, ImageFault.REFUSED)


def _kept(outcome: bytes | ImageError, held: Held) -> bytes | ImageError:
    if isinstance(outcome, ImageError):
        return outcome
    if held.size + len(outcome) > MAX_BODY:
        msg = f"Expected at most {MAX_BODY:,} bytes of all photos of a request; name fewer URLs."
        return ImageError(msg, ImageFault.TOO_LARGE)
    held.add(len(outcome))
    return outcome


async def _read(request: Request, held: Held) -> list[Given]:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind == b"multipart/form-data":
        return await _form(request, options.get(b"boundary", b""), held)
    if kind == b"application/json":
        return _json(await _whole(request, held, _LONGEST_JSON))
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return [_file("photo", [await _whole(request, held, MAX_BODY)])]
    raise Problem(415, f"Expected {_KINDS}, got {one_line(kind.decode('latin-1'), 60) or 'no Content-Type'}.")


async def _whole(request: Request, held: Held, most: int) -> bytes:
    pieces = [piece async for piece in _pieces(request, held, most)]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _pieces(request: Request, held: Held, most: int) -> AsyncIterator[bytes]:
    before = held.size
    async for piece in request.stream():
        held.add(len(piece))
        if held.size - before > most:
            raise Problem(413, f"Expected at most {most:,} bytes; send fewer photos at once.")
        if piece:
            yield piece


def _json(body: bytes) -> list[Given]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    urls = sent.get("urls") if isinstance(sent, dict) and set(sent) == {"urls"} else None
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise Problem(422, 'Expected a JSON object {"urls": ["https://…", …]}, got something else.')
    _check_number(len(urls))
    return [Given(url) for url in urls]


def _check_number(photos: int) -> None:
    if photos > MAX_PHOTOS:
        raise Problem(413, f"Expected at most {MAX_PHOTOS} photos in a request, got more; send fewer at once.")


def _file(name: str, pieces: list[bytes]) -> Given:
    size = sum(map(len, pieces))
    if size > MAX_BYTES:
        msg = f"Expected at most {MAX_BYTES:,} bytes, got {size:,}; save a smaller copy."
        return Given(name, ImageError(msg, ImageFault.TOO_LARGE))
    return Given(name, pieces[0] if len(pieces) == 1 else b"".join(pieces))


async def _form(request: Request, boundary: bytes, held: Held) -> list[Given]:
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]  # it takes any of its callbacks
        async for piece in _pieces(request, held, MAX_BODY):
            parser.write(piece)
    except ValueError as error:  # its own errors are ValueErrors
        raise Problem(422, f"Expected a form as browsers send it, got a broken one ({error}).") from error
    if not form.is_whole:
        raise Problem(422, "Expected a whole form, it breaks off; send it again.")
    return form.given


class _Form:
    """Collects the parts of a form: files are photos, a text part ``urls`` names one."""

    def __init__(self) -> None:
        self.given: list[Given] = []
        self.is_whole = False
        self._header = [b"", b""]
        self._disposition = b""
        self._pieces: list[bytes] = []

    def callbacks(self) -> dict[str, Any]:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        _check_number(len(self.given) + 1)
        self._disposition, self._pieces, self._header = b"", [], [b"", b""]

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = [b"", b""]

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def _end(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if b"filename" in options:
            name = _text(options[b"filename"])[:_LONGEST_NAME] or "photo"
            self.given.append(_file(name, self._pieces))
        elif options.get(b"name") == b"urls":
            self.given.append(Given(_text(b"".join(self._pieces))))
        else:
            field = one_line(_text(options.get(b"name", b"")), 60)
            raise Problem(422, f"Expected files and fields called urls, got a field {field!r}; leave it out.")

    def _finish(self) -> None:
        self.is_whole = True


def _text(sent: bytes) -> str:
    return sent.decode("utf-8", "replace")
