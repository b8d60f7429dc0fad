"""Slow, silent and unreachable hosts, and the delay for other hosts' photos."""

import asyncio
from dataclasses import replace

import pytest

from models.errors import ImageFault
from tests.integration.downloads.downloading import HASTY, fault_of, fetched, photos
from tests.integration.nasty_server import Request, dead_port, says, silence, whole
from tests.photo_jobs import photo_requests, take_all
from tests.until import until


def test_all_requests_wait_as_long_as_a_host_asks(tmp_path, server):
    busy = server.on("/a", whole(b"", "429 Slow", "Retry-After: 1\r\n"), whole())
    others = [server.url(f"/{number}") for number in range(3)]
    limits = replace(HASTY, per_host=1)
    assert [photo.outcome for photo in fetched(tmp_path, server, busy, *others, limits=limits)] == [b"photo"] * 4
    first, *later = server.requests
    assert all(request.at - first.at > 0.95 for request in later)
    assert len(later) == 4


def test_a_host_that_goes_away_for_a_while_loses_no_photo(tmp_path, server):
    """It closes more connections than its photos have tries."""
    away = iter(range(60))

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await (whole() if next(away, None) is None else says(b""))(request, writer)

    server.otherwise(answer)
    limits = replace(HASTY, tries=2, rest_s=0.02)
    with photos(tmp_path, server.place, limits=limits) as source:
        source.request(photo_requests(server.on("/first", whole())), {})
        assert take_all(source, 1)[0].outcome == b"photo"
        source.request(photo_requests(*(server.url(f"/{number}") for number in range(20))), {})
        assert [photo.outcome for photo in take_all(source, 20)] == [b"photo"] * 20
    assert next(away, None) is None


def test_photos_that_never_come_fail_when_their_host_answers_others(tmp_path, server):
    """Even if only these photos are left, in a number that makes a host look dead."""

    async def soon(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        await whole()(request, writer)

    never = [server.on(f"/never/{number}", silence()) for number in range(6)]
    good = [server.on(f"/good/{number}", soon) for number in range(4)]
    with photos(tmp_path, server.place, limits=replace(HASTY, per_host=8)) as source:
        source.request(photo_requests(*never, *good), {})
        came = take_all(source, 10)
    assert [photo.outcome for photo in came[6:]] == [b"photo"] * 4
    assert all("in 2 tries" in str(photo.outcome) for photo in came[:6])


@pytest.mark.parametrize(
    ("after_s", "limits", "tries"),
    [(1, replace(HASTY, tries=50, longest_after_s=2.0), 3), (3600, replace(HASTY, longest_after_s=1.0), 2)],
)
def test_a_photo_fails_after_a_total_wait(after_s, limits, tries, tmp_path, server):
    """With any number of tries: each ``Retry-After`` is obeyed, the waits add up to a limit, and an hour is cut."""
    url = server.on("/a", whole(b"", "429 Slow", f"Retry-After: {after_s}\r\n"))
    photo = fetched(tmp_path, server, url, limits=limits)[0]
    assert f"requested a pause of {after_s:,} s, in {tries} tries" in str(photo.outcome)
    assert server.counts()["/a"] == tries


def test_a_slow_host_holds_up_nobody(tmp_path, server, other):
    held, gate = server.gate()
    server.otherwise(held)
    slow = [server.url(f"/{number}") for number in range(100)]
    quick = [other.url(f"/{number}") for number in range(300)]
    limits = replace(HASTY, at_once=16, connect_s=10.0, idle_s=60.0, total_s=90.0)
    with photos(tmp_path, server.place, other.place, limits=limits) as source:
        source.request(photo_requests(*slow), {})
        source.request(photo_requests(*quick, chunk=1), {})
        came = take_all(source, 300)
        assert {photo.request.chunk for photo in came} == {1}
        until(lambda: source.wants_more, "it would take more")
        gate.set()
        assert all(photo.outcome == b"photo" for photo in take_all(source, 100))
    assert server.most_at_once == limits.per_host


def test_silent_hosts_leave_their_connections_to_others(tmp_path, server, other):
    """Each host has a new name, so that no host is known to be slow."""
    held, gate = server.gate()
    server.otherwise(held)
    names = [f"slow-{number}.test" for number in range(12)]
    slow = [f"http://{name}:{server.port}/a" for name in names]
    limits = replace(HASTY, at_once=4, idle_s=20.0, total_s=30.0)
    allowed = [f"{name}:{server.port}" for name in names]
    with photos(tmp_path, other.place, *allowed, limits=limits, lookup=lambda _: ["127.0.0.1"]) as source:
        source.request(photo_requests(*slow), {})
        source.request(photo_requests(*(other.url(f"/{number}") for number in range(20)), chunk=1), {})
        assert {photo.request.chunk for photo in take_all(source, 20)} == {1}
        gate.set()
        take_all(source, 12)


def test_a_dead_host_fails_its_rows_soon_and_delays_no_others(tmp_path, server):
    with dead_port() as port, photos(tmp_path, server.place, f"127.0.0.1:{port}") as source:
        source.request(photo_requests(*(f"http://127.0.0.1:{port}/{number}" for number in range(500))), {})
        source.request(photo_requests(*(server.url(f"/{number}") for number in range(200)), chunk=1), {})
        came = take_all(source, 700)
    assert all(photo.outcome == b"photo" for photo in came[500:])
    assert {fault_of(photo) for photo in came[:500]} == {ImageFault.DOWNLOAD}
    left_alone = [photo for photo in came[:500] if "is not tried again for a while" in str(photo.outcome)]
    assert len(left_alone) > 450


@pytest.mark.parametrize("answer", [says(b""), says(b"\x00\xff\r\n\r\n")], ids=["nothing", "nonsense"])
def test_photos_that_always_break_off_do_not_delay_others_of_their_host(answer, tmp_path, server):
    """After five failures the host rests; the next photo to try it must not be the same one each time."""
    limits = replace(HASTY, per_host=1, rest_s=0.02, patience_s=1.5)
    bad = [server.on(f"/bad/{number}", answer) for number in range(8)]
    with photos(tmp_path, server.place, limits=limits) as source:
        source.request(photo_requests(server.url("/first")), {})
        take_all(source, 1)
        source.request(photo_requests(*bad, *(server.url(f"/{number}") for number in range(8)), chunk=1), {})
        found = take_all(source, 16)
    assert [fault_of(photo) for photo in found[:8]] == [ImageFault.DOWNLOAD] * 8
    assert [photo.outcome for photo in found[8:]] == [b"photo"] * 8
