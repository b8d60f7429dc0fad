"""Photos from web servers that do all that web servers do."""

import asyncio
import gzip
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from models.errors import ImageError, ImageFault
from tests.photo_jobs import photo_job, take_all, wanted
from tests.until import until
from worker.photos.limits import Limits
from worker.photos.photo import Photo, PhotoSource
from worker.photos.source import limits_of, open_photos

from .nasty_server import (
    NastyServer,
    Request,
    chunked_and_cut,
    cut,
    dead_port,
    endless,
    open_nasty_server,
    redirect,
    says,
    silence,
    whole,
)

HASTY = Limits(
    connect_s=0.2,
    idle_s=0.3,
    total_s=5.0,
    pause_s=0.01,
    slow_s=0.1,
    max_bytes=1_000_000,
    silent_s=0.2,
    rest_s=0.2,
    names_s=0,
)


@pytest.fixture
def server() -> Iterator[NastyServer]:
    with open_nasty_server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[NastyServer]:
    with open_nasty_server() as server:
        yield server


@contextmanager
def photos(tmp_path, *allow_hosts, limits=HASTY, lookup=None, root=None) -> Iterator[PhotoSource]:
    source = open_photos(photo_job(root or tmp_path, allow_hosts=allow_hosts), limits, lookup)
    try:
        yield source
    finally:
        source.close()


def fetched(tmp_path, server, *urls, limits=HASTY, etags=None) -> list[Photo]:
    with photos(tmp_path, server.place, limits=limits) as source:
        source.want(wanted(*urls), etags or {})
        return take_all(source, len(urls))


def fault_of(photo: Photo) -> ImageFault:
    assert isinstance(photo.outcome, ImageError), photo
    return photo.outcome.fault


def test_a_photo_comes_with_all_that_is_known_of_it(tmp_path, server):
    url = server.on("/a.jpg", whole(b"photo", headers='ETag: "v1"\r\n'))
    photo = fetched(tmp_path, server, url)[0]
    assert (photo.outcome, photo.url, photo.etag, photo.downloaded) == (b"photo", url, '"v1"', 5)
    assert photo.seconds > 0
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert "cookie" not in server.requests[0].headers


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "nonsense", "image/png; charset=x"])
def test_what_a_host_says_of_its_kind_is_not_asked(kind, tmp_path, server):
    url = server.on("/a", whole(headers=f"Content-Type: {kind}\r\n"))
    assert fetched(tmp_path, server, url)[0].outcome == b"photo"


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad", "503 Busy", "408 Late", "425 Early", "429 Slow", "599 No"])
def test_what_may_pass_is_tried_again(status, tmp_path, server):
    url = server.on("/a", whole(b"", status), whole(b"", status), whole())
    assert fetched(tmp_path, server, url)[0].outcome == b"photo"
    assert server.counts()["/a"] == 3


def test_and_again_and_then_given_up(tmp_path, server):
    photo = fetched(tmp_path, server, server.on("/a", whole(b"", "500 Oops")))[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert "answered 500 Oops, the last of 4 tries" in str(photo.outcome)
    assert server.counts()["/a"] == 4


@pytest.mark.parametrize(
    "answer", [cut(), chunked_and_cut(), says(b""), says(b"HTTP/1.1 200 OK\r\nContent-"), says(b"SSH-2\r\n")]
)
def test_what_breaks_off_is_tried_again(answer, tmp_path, server):
    assert fetched(tmp_path, server, server.on("/a", answer, whole()))[0].outcome == b"photo"


@pytest.mark.parametrize("answer", [cut(), chunked_and_cut()])
def test_half_a_photo_is_no_photo(answer, tmp_path, server):
    photo = fetched(tmp_path, server, server.on("/a", answer))[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert photo.downloaded > 0


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_what_is_not_there_is_missing(status, tmp_path, server):
    photo = fetched(tmp_path, server, server.on("/a", whole(b"<html>", status)))[0]
    assert fault_of(photo) is ImageFault.MISSING
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "status", ["401 Who", "403 Forbidden", "451 Law", "206 Partial", "204 Nothing", "304 Same", "300 Choose"]
)
def test_any_other_answer_is_no_photo(status, tmp_path, server):
    photo = fetched(tmp_path, server, server.on("/a", whole(b"", status)))[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert status in str(photo.outcome)
    assert len(server.requests) == 1


def test_a_host_that_asks_to_wait_is_left_alone_so_long_by_all(tmp_path, server):
    busy = server.on("/a", whole(b"", "429 Slow", "Retry-After: 1\r\n"), whole())
    others = [server.url(f"/{number}") for number in range(3)]
    limits = replace(HASTY, per_host=1)
    assert [photo.outcome for photo in fetched(tmp_path, server, busy, *others, limits=limits)] == [b"photo"] * 4
    first, *later = server.requests
    assert all(request.at - first.at > 0.95 for request in later)
    assert len(later) == 4


def test_a_host_that_goes_away_for_a_while_loses_no_photo(tmp_path, server):
    """It hangs up on many more than its photos have tries."""
    away = iter(range(60))

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await (whole() if next(away, None) is None else says(b""))(request, writer)

    server.otherwise(answer)
    limits = replace(HASTY, tries=2, blip_s=0.01, rest_s=0.02)
    with photos(tmp_path, server.place, limits=limits) as source:
        source.want(wanted(server.on("/first", whole())), {})
        assert take_all(source, 1)[0].outcome == b"photo"
        source.want(wanted(*(server.url(f"/{number}") for number in range(20))), {})
        assert [photo.outcome for photo in take_all(source, 20)] == [b"photo"] * 20
    assert next(away, None) is None


@pytest.mark.parametrize("late", [timedelta(hours=1), timedelta(days=9)])
def test_a_date_long_from_now_is_not_waited_for(late, tmp_path, server):
    """The host is asked again before; after some tries the photo fails."""
    when = format_datetime(datetime.now(UTC) + late, usegmt=True)
    url = server.on("/a", whole(b"", "503 Busy", f"Retry-After: {when}\r\n"))
    photo = fetched(tmp_path, server, url, limits=replace(HASTY, longest_after_s=0.05))[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert "answered 503" in str(photo.outcome)


def test_photos_that_never_come_are_not_waited_for_when_their_host_has_answered_others(tmp_path, server):
    """Though they are all that is left, and as many as make a host look dead."""

    async def soon(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        await whole()(request, writer)

    never = [server.on(f"/never/{number}", silence()) for number in range(6)]
    good = [server.on(f"/good/{number}", soon) for number in range(4)]
    with photos(tmp_path, server.place, limits=replace(HASTY, per_host=8)) as source:
        source.want(wanted(*never, *good), {})
        came = take_all(source, 10)
    assert [photo.outcome for photo in came[6:]] == [b"photo"] * 4
    assert all("the last of 2 tries" in str(photo.outcome) for photo in came[:6])


def test_a_photo_is_put_off_for_so_long_in_all_and_then_fails(tmp_path, server):
    """However many tries it may have: ``Retry-After`` is kept each time, and the waits add up."""
    url = server.on("/a", whole(b"", "429 Slow", "Retry-After: 1\r\n"))
    photo = fetched(tmp_path, server, url, limits=replace(HASTY, tries=50, longest_after_s=2.0))[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert server.counts()["/a"] == 3


def test_a_photo_whose_host_names_an_hour_is_tried_once_more_and_that_soon(tmp_path, server):
    url = server.on("/a", whole(b"", "429 Slow", "Retry-After: 3600\r\n"))
    photo = fetched(tmp_path, server, url, limits=replace(HASTY, total_s=0.5))[0]
    assert "come again in 3,600 s, the last of 2 tries" in str(photo.outcome)


@pytest.mark.parametrize("said", ["Thu, 01 Jan 2015 00:00:00 GMT", "-5", "soon", "", "0"])
def test_a_date_that_has_passed_or_is_none_is_no_reason_to_wait(said, tmp_path, server):
    url = server.on("/a", whole(b"", "503 Busy", f"Retry-After: {said}\r\n"), whole())
    assert fetched(tmp_path, server, url)[0].outcome == b"photo"


def test_redirects_are_followed(tmp_path, server, other):
    last = other.on("/there/b.jpg", whole(headers='ETag: "v1"\r\n'))
    second = server.on("/x/b", redirect(last, "301 Moved"))
    first = server.on("/x/a", redirect("b", "307 There"))
    with photos(tmp_path, server.place, other.place) as source:
        source.want(wanted(first), {first: '"v1"'})
        photo = take_all(source, 1)[0]
    assert (photo.outcome, photo.url) == (b"photo", first)
    assert photo.etag is None, "what is elsewhere may be called the same and be something else"
    assert "if-none-match" in server.asked("/x/a")[0].headers
    assert "if-none-match" not in other.requests[0].headers
    assert server.asked(second.removeprefix(server.url("")))


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:1/a.jpg",
        "//127.0.0.1:1/a.jpg",
        "http://localhost/a.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.test/computeMetadata/v1/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://0x7f000001/",
        "http://2852039166/",
        "http://10.0.0.1/",
        "http://user@8.8.8.8/",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "gopher://127.0.0.1/",
        "data:image/png;base64,AAAA",
        "s3://bucket/key",
        "https://",
    ],
)
def test_a_redirect_leads_nowhere_it_must_not(to, tmp_path, server):
    names = {"localhost": ["127.0.0.1"], "metadata.test": ["169.254.169.254"]}
    url = server.on("/a", redirect(to))
    with photos(tmp_path, server.place, lookup=names.__getitem__) as source:
        source.want(wanted(url), {})
        photo = take_all(source, 1)[0]
    assert fault_of(photo) is ImageFault.REFUSED
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


@pytest.mark.parametrize("to", ["/a", "/b"])
def test_redirects_without_an_end_are_given_up(to, tmp_path, server):
    server.on("/b", redirect("/a"))
    photo = fetched(tmp_path, server, server.on("/a", redirect(to)))[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert "redirects more than 5 times" in str(photo.outcome)
    assert len(server.requests) == 6


BOMBS = {
    "flood": (endless(bytes(65_536), 0.0), ImageFault.TOO_LARGE),
    "too long, as it says": (whole(b"x", length=1_000_001), ImageFault.TOO_LARGE),
    "longer than any": (whole(b"x", length=10**18), ImageFault.TOO_LARGE),
    "too long, unsaid": (says(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1_000_001)), ImageFault.TOO_LARGE),
    "gzip": (whole(gzip.compress(bytes(10_000_000)), headers="Content-Encoding: gzip\r\n"), ImageFault.DOWNLOAD),
    "deflate": (whole(b"x", headers="Content-Encoding: deflate\r\n"), ImageFault.DOWNLOAD),
    "gzip in gzip": (whole(b"x", headers="Content-Encoding: gzip, gzip\r\n"), ImageFault.DOWNLOAD),
    "gzip in chunks": (endless(b"x", 0.01, "Content-Encoding: br\r\n"), ImageFault.DOWNLOAD),
    "headers": (says(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000), ImageFault.DOWNLOAD),
    "one header": (says(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 1_000_000), ImageFault.DOWNLOAD),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_body_that_would_fill_the_memory_is_not_read_on(kind, tmp_path, server):
    answer, fault = BOMBS[kind]
    photo = fetched(tmp_path, server, server.on("/a", answer))[0]
    assert fault_of(photo) is fault
    assert photo.downloaded < 2_000_000


def test_a_body_that_drips_ends_with_its_time(tmp_path, server):
    limits = replace(HASTY, total_s=0.5)
    start = time.monotonic()
    photo = fetched(tmp_path, server, server.on("/a", endless(b"x", 0.02)), limits=limits)[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert "took longer than 0.5 s" in str(photo.outcome)
    assert time.monotonic() - start < 3


def test_a_photo_that_waits_for_its_turn_does_not_wait_on_its_own_time(tmp_path, server, other):
    """Its second try has to wait until there is room, for longer than a photo may take."""
    held, gate = server.gate(whole(b"", "500 Internal Server Error"))
    url = server.on("/a", held, whole())
    other.on("/large", whole(bytes(100_000)))
    drips = other.on("/drips", endless(b"x", 0.02))
    limits = replace(HASTY, total_s=1.0, room=100_000)
    with photos(tmp_path, server.place, other.place, limits=limits) as source:
        source.want(wanted(url), {})
        until(lambda: server.requests, "it is asked for")
        source.want(wanted(other.url("/large"), chunk=1), {})
        until(lambda: other.asked("/large") and not source.hungry, "the room is full")
        gate.set()
        with photos(tmp_path, other.place, limits=limits) as another:
            another.want(wanted(drips), {})
            assert "took longer than 1 s" in str(take_all(another, 1)[0].outcome)
        assert {photo.outcome[:5] for photo in take_all(source, 2)} == {bytes(5), b"photo"}


def test_a_body_that_stops_is_tried_again(tmp_path, server):
    held, _ = server.gate()

    async def half(request, writer):
        await whole(b"ph", length=5)(request, writer)
        await held(request, writer)

    assert fetched(tmp_path, server, server.on("/a", half, whole()))[0].outcome == b"photo"


def test_a_host_that_takes_what_it_is_sent_and_says_nothing(tmp_path, server):
    photo = fetched(tmp_path, server, server.on("/a", silence()))[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert "does not answer, the last of 2 tries" in str(photo.outcome)


def test_a_slow_host_holds_up_nobody(tmp_path, server, other):
    held, gate = server.gate()
    server.otherwise(held)
    slow = [server.url(f"/{number}") for number in range(100)]
    quick = [other.url(f"/{number}") for number in range(300)]
    limits = replace(HASTY, at_once=16, idle_s=20.0, total_s=30.0)
    with photos(tmp_path, server.place, other.place, limits=limits) as source:
        source.want(wanted(*slow), {})
        source.want(wanted(*quick, chunk=1), {})
        came = take_all(source, 300)
        assert {photo.wanted.chunk for photo in came} == {1}
        until(lambda: source.hungry, "it would take more")
        gate.set()
        assert all(photo.outcome == b"photo" for photo in take_all(source, 100))
    assert server.most_at_once == limits.per_host


def test_hosts_that_bring_nothing_leave_their_places_to_others(tmp_path, server, other):
    """Each of them has a name of its own, so that none is known to be slow."""
    held, gate = server.gate()
    server.otherwise(held)
    names = [f"slow-{number}.test" for number in range(12)]
    slow = [f"http://{name}:{server.port}/a" for name in names]
    limits = replace(HASTY, at_once=4, idle_s=20.0, total_s=30.0)
    allowed = [f"{name}:{server.port}" for name in names]
    with photos(tmp_path, other.place, *allowed, limits=limits, lookup=lambda _: ["127.0.0.1"]) as source:
        source.want(wanted(*slow), {})
        source.want(wanted(*(other.url(f"/{number}") for number in range(20)), chunk=1), {})
        assert {photo.wanted.chunk for photo in take_all(source, 20)} == {1}
        gate.set()
        take_all(source, 12)


def test_a_dead_host_fails_its_rows_soon_and_holds_up_nobody(tmp_path, server):
    with dead_port() as port, photos(tmp_path, server.place, f"127.0.0.1:{port}") as source:
        source.want(wanted(*(f"http://127.0.0.1:{port}/{number}" for number in range(500))), {})
        source.want(wanted(*(server.url(f"/{number}") for number in range(200)), chunk=1), {})
        came = take_all(source, 700)
    assert all(photo.outcome == b"photo" for photo in came[500:])
    assert {fault_of(photo) for photo in came[:500]} == {ImageFault.DOWNLOAD}
    left_alone = [photo for photo in came[:500] if "is left alone for a while" in str(photo.outcome)]
    assert len(left_alone) > 450


def test_a_host_that_comes_back_is_asked_again(tmp_path, server):
    server.otherwise(silence())
    with photos(tmp_path, server.place) as source:
        source.want(wanted(*(server.url(f"/{number}") for number in range(50))), {})
        take_all(source, 50)
        server.otherwise(whole())

        def comes() -> bool:
            source.want(wanted(server.url("/again")), {})
            return take_all(source, 1)[0].outcome == b"photo"

        until(comes, "the host is tried again", within_s=10)


def test_a_name_that_nobody_knows_fails_its_rows_at_once(tmp_path):
    with photos(tmp_path, limits=replace(HASTY, connect_s=5.0)) as source:
        source.want(wanted(*(f"http://nobody.invalid/{number}" for number in range(100))), {})
        came = take_all(source, 100)
    assert {fault_of(photo) for photo in came} == {ImageFault.DOWNLOAD}


def test_a_port_where_nobody_listens(tmp_path):
    with photos(tmp_path, "127.0.0.1:1") as source:
        source.want(wanted("http://127.0.0.1:1/a"), {})
        photo = take_all(source, 1)[0]
    assert fault_of(photo) is ImageFault.DOWNLOAD
    assert "cannot be reached (Connect call failed" in str(photo.outcome)
    assert "the last of 4 tries" in str(photo.outcome)


def test_a_name_that_leads_elsewhere_the_second_time_is_refused_then(tmp_path, server):
    """Whoever looks a name up twice, once to check it and once to connect, goes where he must not."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    server.otherwise(whole(headers="Connection: close\r\n"))
    url = f"http://shop.test:{server.port}/"
    with photos(tmp_path, f"shop.test:{server.port}", lookup=lambda _: next(answers)) as source:
        source.want(wanted(url + "a"), {})
        assert take_all(source, 1)[0].outcome == b"photo"
        source.want(wanted(url + "b"), {})
        second = take_all(source, 1)[0]
    assert fault_of(second) is ImageFault.REFUSED
    assert "shop.test leads to 169.254.169.254" in str(second.outcome)
    assert server.requests[0].headers["host"] == f"shop.test:{server.port}"


def test_connections_are_kept(tmp_path, server):
    fetched(tmp_path, server, *(server.url(f"/{number}") for number in range(200)))
    assert len(server.requests) == 200
    assert server.connections <= HASTY.per_host + 1


def test_a_host_with_one_photo_keeps_no_connection(tmp_path, server):
    with photos(tmp_path, server.place) as source:
        source.want(wanted(server.url("/a")), {})
        take_all(source, 1)
        source.want(wanted(server.url("/b")), {})
        take_all(source, 1)
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("per_host", [1, 3])
def test_no_host_is_asked_for_more_than_its_limit_at_once(per_host, tmp_path, server):
    limits = replace(HASTY, per_host=per_host)
    fetched(tmp_path, server, *(server.url(f"/{number}") for number in range(60)), limits=limits)
    assert server.most_at_once <= per_host


def test_a_url_that_several_rows_want_is_fetched_once(tmp_path, server):
    held, gate = server.gate()
    url = server.on("/a", held)
    with photos(tmp_path, server.place) as source:
        source.want(wanted(url, url), {})
        source.want(wanted(url, chunk=1), {})
        gate.set()
        came = take_all(source, 3)
    assert [photo.outcome for photo in came] == [b"photo"] * 3
    assert sorted(photo.downloaded for photo in came) == [0, 0, 5]
    assert sum(photo.seconds > 0 for photo in came) == 1
    assert len(server.requests) == 1


def test_what_has_not_changed_is_not_sent_again(tmp_path, server):
    url = server.on("/a", whole(b"", "304 Not Modified"))
    photo = fetched(tmp_path, server, url, etags={url: '"v1"'})[0]
    assert (photo.outcome, photo.etag) == (None, '"v1"')
    assert server.requests[0].headers["if-none-match"] == '"v1"'


def test_what_has_changed_comes(tmp_path, server):
    url = server.on("/a", whole(headers='ETag: "v2"\r\n'))
    photo = fetched(tmp_path, server, url, etags={url: '"v1"'})[0]
    assert (photo.outcome, photo.etag) == (b"photo", '"v2"')


@pytest.mark.parametrize("etag", ['W/"v1"', "v1", '"', '"' + "x" * 300 + '"', '"é"', ""])
def test_only_strong_etags_count(etag, tmp_path, server):
    url = server.on("/a", whole(headers=f"ETag: {etag}\r\n"))
    photo = fetched(tmp_path, server, url)[0]
    assert (photo.outcome, photo.etag) == (b"photo", None)


def test_no_more_is_downloaded_than_there_is_room_for(tmp_path, server):
    server.otherwise(whole(bytes(100_000)))
    limits = replace(HASTY, room=500_000)
    with photos(tmp_path, server.place, limits=limits) as source:
        source.want(wanted(*(server.url(f"/{number}") for number in range(60))), {})
        until(lambda: len(server.requests) >= 5, "the room is full")
        until(lambda: not source.hungry, "it is not hungry")
        for taken in range(60):
            assert len(server.requests) <= taken + 5 + limits.per_host
            assert len(take_all(source, 1)[0].outcome) == 100_000


def test_photos_larger_than_the_room_come_all_the_same(tmp_path, server):
    server.otherwise(whole(bytes(900_000)))
    limits = replace(HASTY, room=300_000)
    urls = [server.url(f"/{number}") for number in range(12)]
    came = fetched(tmp_path, server, *urls, limits=limits)
    assert [len(photo.outcome) for photo in came] == [900_000] * 12


def test_what_is_forgotten_does_not_come(tmp_path, server):
    held, gate = server.gate()
    shared = server.on("/shared", held)
    alone = server.on("/alone", held)
    with photos(tmp_path, server.place) as source:
        source.want(wanted(shared, alone, "nothing.jpg"), {})
        source.want(wanted(shared, chunk=1), {})
        until(lambda: len(server.requests) == 2, "both are under way")
        source.forget(0)
        source.want(wanted(server.url("/new"), chunk=0), {})
        gate.set()
        came = take_all(source, 2)
        assert [(photo.wanted.chunk, photo.wanted.cell) for photo in came] == [(0, server.url("/new")), (1, shared)]
        assert source.take(0.0) is None


def test_a_chunk_that_was_given_up_can_be_asked_for_anew(tmp_path, server):
    with photos(tmp_path, server.place) as source:
        url = server.url("/a")
        source.want(wanted(url), {})
        source.forget(0)
        source.want(wanted(url), {})
        assert take_all(source, 1)[0].outcome == b"photo"
        assert source.take(0.0) is None


def test_nothing_is_waited_for_where_nothing_is_wanted(tmp_path, server):
    with photos(tmp_path, server.place) as source:
        start = time.monotonic()
        assert source.take(30.0) is None
        source.want(wanted(server.url("/a")), {})
        take_all(source, 1)
        assert source.take(30.0) is None
        assert time.monotonic() - start < 10


def test_closing_waits_for_nobody(tmp_path, server):
    server.otherwise(silence())
    limits = replace(HASTY, idle_s=60.0, total_s=60.0)
    opened = threading.Event()

    def slow_names(host: str) -> list[str]:
        opened.wait(30)
        return ["127.0.0.1"]

    with photos(tmp_path, server.place, limits=limits, lookup=slow_names) as source:
        source.want(wanted(*(server.url(f"/{number}") for number in range(20)), "http://slow.test/a"), {})
        until(lambda: len(server.requests) == limits.per_host, "they are under way")
        start = time.monotonic()
        source.close()
        assert time.monotonic() - start < 2
    opened.set()
    assert "hangtag-photos" not in {thread.name for thread in threading.enumerate()}


def test_paths_under_a_url_are_joined_to_it(tmp_path, server):
    server.on("/img/a%20b%231.jpg", whole(b"joined"))
    server.otherwise(whole(b"", "404 Not Found"))
    root = server.url("/img/")
    with photos(tmp_path, server.place, root=root) as source:
        assert source.url_of("a b#1.jpg") == server.url("/img/a%20b%231.jpg")
        source.want(wanted("a b#1.jpg", "data:,inline"), {})
        assert [photo.outcome for photo in take_all(source, 2)] == [b"joined", b"inline"]


def test_photos_on_disk_and_elsewhere_come_from_one_source(tmp_path, server):
    (tmp_path / "a.jpg").write_bytes(b"on disk")
    with photos(tmp_path, server.place) as source:
        assert not source.hungry
        source.want(wanted("a.jpg", None, "ftp://shop.test/a"), {})
        assert not source.hungry
        source.want(wanted(server.url("/a"), chunk=1), {})
        came = take_all(source, 4)
        assert source.url_of("a.jpg") is None
        assert source.url_of(server.url("/a#x")) == server.url("/a")
    assert came[0].outcome == b"on disk"
    assert [fault_of(photo) for photo in came[1:3]] == [ImageFault.MISSING, ImageFault.REFUSED]
    assert (came[3].outcome, came[0].url, came[3].url) == (b"photo", None, server.url("/a"))


def test_proxies_of_the_environment_are_not_used(tmp_path, server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert fetched(tmp_path, server, server.url("/a"))[0].outcome == b"photo"


def test_the_job_says_how_many_at_once_and_how_long(tmp_path):
    limits = limits_of(photo_job(tmp_path, per_host=3, download_timeout_s=7.0))
    assert (limits.per_host, limits.per_bucket, limits.total_s) == (3, 3, 7.0)
    assert limits_of(photo_job(tmp_path)) == Limits()


def test_photos_on_disk_need_no_thread_and_no_http(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"photo")
    code = (
        "import sys, threading; from pathlib import Path\n"
        "from tests.photo_jobs import photo_job, take_all, wanted\n"
        "from worker.photos.source import open_photos\n"
        f"source = open_photos(photo_job({str(tmp_path)!r})); source.want(wanted('a.jpg'), {{}})\n"
        "print(take_all(source, 1)[0].outcome, 'aiohttp' in sys.modules, threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "b'photo' False 1"
