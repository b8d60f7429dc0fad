"""Random answers of a web server, from a seed: invalid statuses, headers and bodies."""

import asyncio
from collections.abc import Callable
from random import Random

from tests.integration.nasty_server import Answer, Request

_STATUSES = (200, 200, 200, 203, 204, 206, 301, 302, 303, 304, 307, 308, 400, 403, 404, 410, 408, 425, 429, 500, 503)
_ODD_STATUSES = (b"", b"0", b"-1", b"99999", b"2OO", b"200.5", b"1e3", "٢٠٠".encode(), b"100", b"101", b"199", b"999")
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"HTTP/9.9", b"ICY", b"http/1.1", b"")
_REASONS = (b"OK", b"", b"Not Found", b"\x1b[31mred", b"\xff\xfe", b"x" * 5000, b"a\x00b", "über".encode())
_NUMBERS = (
    b"0",
    b"1",
    b"-1",
    b"7",
    b"1e9",
    b"inf",
    b"nan",
    b"9" * 400,
    b"9" * 5000,
    b"0x10",
    "٣".encode(),
    b"1.5",
    b" 2 ",
)
_DATES = (
    b"Thu, 1 Jan 2020 00:00:00 +99999999999999999999",
    b"Thu, 1 Jan 2020 00:00:00 -99999999999999999999",
    b"Fri, 31 Dec 9999 23:59:59 -2359",
    b"Mon, 1 Jan 0001 00:00:00 +2359",
    b"Thu, 1 Jan 99999999999999999999 00:00:00 GMT",
    b"Thu, 32 Foo 2020 25:61:61 GMT",
    b"Thu, 1 Jan 2020 00:00:00 " + b"9" * 5000,
    b"Thursday, 01-Jan-20 00:00:00 GMT",
    b"soon",
)
_PLACES = (
    b"/1",
    b"/7?a#b",
    b"",
    b"//",
    b"http://",
    b"http://[bad",
    b"http://[::1",
    b"http://a:99999999999999999999/",
    b"http://a:b:c/",
    b"http://user:secret@a.test/",
    b"http://127.0.0.1:1/",
    b"http://203.0.113.7/",
    b"http://xn--/",
    "http://ⅷ.test/".encode(),
    b"http://" + b"a." * 2000 + b"test/",
    b"file:///etc/passwd",
    b"data:,x",
    b"s3://bucket/key",
    b"/\xff\xfe",
    b"/\x1b[2J",
    b"?" * 4000,
)
_CODINGS = (b"identity", b"gzip", b"br, gzip", b"", b"\xff", b"GZIP" * 500, b"chunked")
_TAGS = (b'"v1"', b'W/"v1"', b'"', b"v1", b'"' + b"x" * 5000 + b'"', b'"\xff"', b'"\x1b"', "ⅷ".encode())
_HEADERS: dict[bytes, tuple[bytes, ...]] = {
    b"Retry-After": _NUMBERS + _DATES,
    b"Content-Length": _NUMBERS,
    b"Location": _PLACES,
    b"Content-Encoding": _CODINGS,
    b"Transfer-Encoding": _CODINGS,
    b"ETag": _TAGS,
    b"Content-Type": (b"image/jpeg", b"text/html; charset=nonsense", b";;;=", b"\xff/\xff"),
    b"Connection": (b"close", b"keep-alive", b"upgrade", b"\xff"),
    b"Upgrade": (b"h2c", b"websocket"),
    b"Set-Cookie": (b"a=b", b"a=b; expires=" + _DATES[0], b"=;=", b"\xff=\xff", b"a" * 5000),
    b"Link": (b"<>", b"<http://[bad>; rel=x", b"<<<>>>"),
    b"Date": _DATES,
    b"Last-Modified": _DATES,
    b"x-amz-bucket-region": (b"eu-west-1", b"?", b"a/b", b""),
    b"x-amz-expiration": _DATES,
    b"x-amz-missing-meta": _NUMBERS,
    b"x-amz-checksum-crc32": (b"AAAA", b"?", b"\xff"),
}
_CODES = (b"NoSuchKey", b"SlowDown", b"AccessDenied", b"PermanentRedirect", b"\xc2\x9b31m", b"", b"304", b"9" * 300)


def made_up_answers(seed: int, is_good: Callable[[int], bool], photo: bytes) -> Answer:
    """For a path that ends in a good number, answer the photo; for others nonsense, the same each time."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        name = request.path.rpartition("/")[2].partition("?")[0]
        number = int(name) if name.isdecimal() else 1
        if is_good(number):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(photo), photo))
            return
        writer.write(_made_up(Random(seed * 1_000_000 + number), photo))  # noqa: S311 - nothing secret
        await writer.drain()
        writer.close()

    return answer


def _made_up(random: Random, photo: bytes) -> bytes:
    if random.random() < 0.03:
        return random.randbytes(random.randrange(200))
    body = _body(random, photo)
    status = random.choice(_ODD_STATUSES) if random.random() < 0.1 else b"%d" % random.choice(_STATUSES)
    lines = [b" ".join((random.choice(_VERSIONS), status, random.choice(_REASONS)))]
    if random.random() < 0.6:
        lines.append(b"Content-Length: %d" % len(body))
    names = random.sample(list(_HEADERS), random.randrange(5))
    lines += [name + b": " + random.choice(_HEADERS[name]) for name in names]
    if random.random() < 0.1:
        lines.append(random.randbytes(random.randrange(40)))
    return b"\r\n".join([*lines, b"", body])


def _body(random: Random, photo: bytes) -> bytes:
    match random.randrange(6):
        case 0:
            return photo
        case 1:
            return photo[: random.randrange(len(photo))]
        case 2:
            spoiled = bytearray(photo)
            for _ in range(random.randrange(1, 30)):
                spoiled[random.randrange(len(spoiled))] = random.randrange(256)
            return bytes(spoiled)
        case 3:
            return random.choice((b"5\r\nphoto\r\n0\r\n\r\n", b"zz\r\n", b"-1\r\n", b"f" * 40 + b"\r\nx", b"0\r\n\r\n"))
        case 4:
            return b"<Error><Code>%s</Code><Message>\xc2\x9b1m</Message></Error>" % random.choice(_CODES)
        case _:
            return random.randbytes(random.randrange(300))
