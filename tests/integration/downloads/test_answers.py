"""Photos from misbehaving web servers."""

import gzip
from dataclasses import replace

import pytest

from models.errors import ImageFault
from tests.integration.downloads.downloading import HASTY, fault_of, fetched, photos
from tests.integration.nasty_server import chunked_and_cut, cut, endless, redirect, says, whole
from tests.photo_jobs import photo_requests, take_all

PATIENT = replace(HASTY, connect_s=10.0, idle_s=10.0, silent_s=10.0, total_s=60.0)
"""For tests that count tries: a machine that stands still for a moment is no reason for another."""


def test_a_photo_comes_with_all_that_is_known_of_it(tmp_path, server):
    url = server.on("/a.jpg", whole(b"photo", headers='ETag: "v1"\r\n'))
    photo = fetched(tmp_path, server, url)[0]
    assert (photo.outcome, photo.url, photo.etag, photo.downloaded) == (b"photo", url, '"v1"', 5)
    assert photo.seconds > 0
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert "cookie" not in server.requests[0].headers


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad", "503 Busy", "408 Late", "425 Early", "429 Slow", "599 No"])
def test_what_may_pass_is_tried_again(status, tmp_path, server):
    url = server.on("/a", whole(b"", status), whole(b"", status), whole())
    assert fetched(tmp_path, server, url, limits=PATIENT)[0].outcome == b"photo"
    assert server.counts()["/a"] == 3


def test_what_never_passes_is_given_up(tmp_path, server):
    photo = fetched(tmp_path, server, server.on("/a", whole(b"", "500 Oops")), limits=PATIENT)[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert "answered 500 Oops, in 4 tries" in str(photo.outcome)
    assert server.counts()["/a"] == 4


@pytest.mark.parametrize(
    "answer",
    [
        cut(), chunked_and_cut(), says(b""), says(b"HTTP/1.1 200 OK\r\nContent-"), says(b"SSH-2\r\n"),
        whole(b"ph", length=5),
    ],
)  # fmt: skip
def test_what_breaks_off_is_tried_again(answer, tmp_path, server):
    assert fetched(tmp_path, server, server.on("/a", answer, whole()))[0].outcome == b"photo"


@pytest.mark.parametrize("answer", [cut(), chunked_and_cut()])
def test_half_a_photo_is_no_photo(answer, tmp_path, server):
    photo = fetched(tmp_path, server, server.on("/a", answer))[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert photo.downloaded > 0


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        ("404 Not Found", ImageFault.MISSING),
        ("410 Gone", ImageFault.MISSING),
        *((status, ImageFault.DOWNLOAD) for status in ("401 Who", "403 No", "451 Law", "206 Part", "204 Nil")),
        *((status, ImageFault.DOWNLOAD) for status in ("304 Same", "300 Choose")),
    ],
)
def test_any_other_answer_is_no_photo_and_not_tried_again(status, fault, tmp_path, server):
    photo = fetched(tmp_path, server, server.on("/a", whole(b"", status)), limits=PATIENT)[0]
    assert fault_of(photo) is fault
    assert status in str(photo.outcome)
    assert len(server.requests) == 1


def test_redirects_are_followed(tmp_path, server, other):
    last = other.on("/there/b.jpg", whole(headers='ETag: "v1"\r\n'))
    second = server.on("/x/b", redirect(last, "301 Moved"))
    first = server.on("/x/a", redirect("b", "307 There"))
    with photos(tmp_path, server.place, other.place) as source:
        source.request(photo_requests(first), {first: '"v1"'})
        photo = take_all(source, 1)[0]
    assert (photo.outcome, photo.url) == (b"photo", first)
    assert photo.etag is None, "what is elsewhere may be called the same and be something else"
    assert "if-none-match" in server.asked("/x/a")[0].headers
    assert "if-none-match" not in other.requests[0].headers
    assert server.asked(second.removeprefix(server.url("")))


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:1/a.jpg", "//127.0.0.1:1/a.jpg", "http://localhost/a.jpg",
        "http://169.254.169.254/latest/meta-data/", "http://metadata.test/computeMetadata/v1/",
        "http://[::ffff:169.254.169.254]/", "http://[fd00:ec2::254]/", "http://0x7f000001/",
        "http://2852039166/", "http://10.0.0.1/", "http://user@8.8.8.8/", "file:///etc/passwd",
        "FILE:///etc/passwd", "gopher://127.0.0.1/", "data:image/png;base64,AAAA", "s3://bucket/key", "https://",
    ],
)  # fmt: skip
def test_a_redirect_leads_nowhere_it_must_not(to, tmp_path, server):
    names = {"localhost": ["127.0.0.1"], "metadata.test": ["169.254.169.254"]}
    url = server.on("/a", redirect(to))
    with photos(tmp_path, server.place, lookup=names.__getitem__) as source:
        source.request(photo_requests(url), {})
        photo = take_all(source, 1)[0]
    assert fault_of(photo) is ImageFault.REFUSED
    assert len(server.requests) == 1


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe"])
def test_an_allowed_name_that_leads_to_metadata_is_never_asked(address, tmp_path, server):
    """Through a cell, and through a redirect of another allowed host."""
    there = f"http://shop.test:{server.port}/latest/"
    allowed = (server.place, f"shop.test:{server.port}")
    with photos(tmp_path, *allowed, lookup=lambda _: [address]) as source:
        source.request(photo_requests(there, server.on("/a", redirect(there))), {})
        assert [fault_of(photo) for photo in take_all(source, 2)] == [ImageFault.REFUSED] * 2
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        redirect("http://[bad"),
        says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /\xff\xfe\r\n\r\n"),
        says(b"HTTP/1.1 403 \xff\x01\r\nContent-Length: 0\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\nContent-Encoding: \xff\xfe\r\nContent-Length: 1\r\n\r\nx"),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        says(b"HTTP/9.9 99999 OK\r\n\r\n"),
        says(b"\x00" * 100),
    ],
)
def test_nonsense_fails_its_row_only(answer, tmp_path, server):
    bad, good = fetched(tmp_path, server, server.on("/a", answer), server.url("/b"))
    assert fault_of(bad) in {ImageFault.DOWNLOAD, ImageFault.REFUSED}
    assert str(bad.outcome).encode()
    assert good.outcome == b"photo"


@pytest.mark.parametrize(
    "said",
    [
        "Thu, 1 Jan 2020 00:00:00 +99999999999999999999", "Thu, 1 Jan 99999999999999999999 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 2015 00:00:00 GMT", "9" * 5000, "inf", "nan", "-5", "٣", "0",
        "soon", "",
    ],
)  # fmt: skip
def test_a_busy_host_without_retry_after_is_tried_again(said, tmp_path, server):
    url = server.on("/a", whole(b"", "503 Busy", f"Retry-After: {said}\r\n"), whole())
    photo = fetched(tmp_path, server, url, limits=replace(HASTY, longest_after_s=0.01))[0]
    assert photo.outcome == b"photo"


GZIPPED = "Content-Encoding: gzip\r\n"


def test_a_photo_that_its_host_gzips_unasked_is_unpacked(tmp_path, server):
    data = bytes(range(256)) * 3000
    for body in (gzip.compress(data), gzip.compress(data[:99]) + gzip.compress(data[99:])):
        url = server.on(f"/{len(body)}", whole(body, headers=GZIPPED))
        assert fetched(tmp_path, server, url)[0].outcome == data


def test_headers_go_to_hosts_of_photos_but_not_to_redirects(tmp_path, server, other):
    there = other.on("/b", whole())
    away, near = server.on("/away", redirect(there)), server.on("/near", redirect("/here"))
    server.on("/here", whole())
    given = ["User-Agent: shop/1.0", "Authorization: Bearer secret"]
    with photos(tmp_path, server.place, other.place, headers=given) as source:
        source.request(photo_requests(away, near), {})
        assert [photo.outcome for photo in take_all(source, 2)] == [b"photo"] * 2
    for path in ("/away", "/near", "/here"):
        sent = server.asked(path)[0].headers
        assert (sent["user-agent"], sent["authorization"]) == ("shop/1.0", "Bearer secret")
    assert other.requests[0].headers["user-agent"] == "hangtag"
    assert "authorization" not in other.requests[0].headers


def test_who_is_forbidden_hears_of_the_user_agent(tmp_path, server):
    assert "User-Agent" in str(fetched(tmp_path, server, server.on("/a", whole(b"", "403 No")))[0].outcome)


BOMBS = {
    "flood": (endless(bytes(65_536), 0.0), ImageFault.TOO_LARGE),
    "too long, as it says": (whole(b"x", length=1_000_001), ImageFault.TOO_LARGE),
    "longer than any": (whole(b"x", length=10**18), ImageFault.TOO_LARGE),
    "too long, unsaid": (says(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1_000_001)), ImageFault.TOO_LARGE),
    "gzip": (whole(gzip.compress(bytes(10_000_000)), headers=GZIPPED), ImageFault.TOO_LARGE),
    "gzip that is none": (whole(b"photo", headers=GZIPPED), ImageFault.DOWNLOAD),
    "incomplete gzip": (whole(gzip.compress(b"photo")[:-9], headers=GZIPPED), ImageFault.DOWNLOAD),
    "deflate": (whole(b"x", headers="Content-Encoding: deflate\r\n"), ImageFault.DOWNLOAD),
    "gzip in gzip": (whole(b"x", headers="Content-Encoding: gzip, gzip\r\n"), ImageFault.DOWNLOAD),
    "gzip in chunks": (endless(b"x", 0.01, "Content-Encoding: br\r\n"), ImageFault.DOWNLOAD),
    "headers": (says(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000), ImageFault.DOWNLOAD),
    "one header": (says(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 1_000_000), ImageFault.DOWNLOAD),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_reading_stops_at_a_body_too_large_for_memory(kind, tmp_path, server):
    answer, fault = BOMBS[kind]
    photo = fetched(tmp_path, server, server.on("/a", answer))[0]
    assert fault_of(photo) is fault
    assert photo.downloaded < 2_000_000


def test_a_name_that_resolves_to_another_address_later_is_refused(tmp_path, server):
    """A client that looks the name up once to check it and again to connect would reach a forbidden address."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    server.otherwise(whole(headers="Connection: close\r\n"))
    url = f"http://shop.test:{server.port}/"
    with photos(tmp_path, f"shop.test:{server.port}", lookup=lambda _: next(answers)) as source:
        source.request(photo_requests(url + "a"), {})
        assert take_all(source, 1)[0].outcome == b"photo"
        source.request(photo_requests(url + "b"), {})
        second = take_all(source, 1)[0]
    assert fault_of(second) is ImageFault.REFUSED
    assert "shop.test resolves to 169.254.169.254" in str(second.outcome)
    assert server.requests[0].headers["host"] == f"shop.test:{server.port}"
