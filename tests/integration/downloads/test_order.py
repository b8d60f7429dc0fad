"""What is fetched when, and how often."""

import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from models.errors import ImageFault
from tests.integration.downloads.downloading import HASTY, fault_of, fetched, photos
from tests.integration.nasty_server import silence, whole
from tests.photo_jobs import take_all, wanted
from tests.until import until


def test_a_host_with_one_photo_keeps_no_connection(tmp_path, server):
    with photos(tmp_path, server.place) as source:
        source.want(wanted(server.url("/a")), {})
        take_all(source, 1)
        source.want(wanted(server.url("/b")), {})
        take_all(source, 1)
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("per_host", [1, 8])
def test_no_host_is_asked_for_more_than_its_limit_at_once_and_connections_are_kept(per_host, tmp_path, server):
    with photos(tmp_path, server.place, limits=None, per_host=per_host) as source:
        source.want(wanted(*(server.url(f"/{number}") for number in range(200))), {})
        take_all(source, 200)
    assert len(server.requests) == 200
    assert server.most_at_once <= per_host
    assert server.connections <= per_host + 1


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


def test_what_has_not_changed_is_not_sent_again_and_what_has_comes(tmp_path, server):
    url = server.on("/a", whole(b"", "304 Not Modified"), whole(headers='ETag: "v2"\r\n'))
    for found in ((None, '"v1"'), (b"photo", '"v2"')):
        photo = fetched(tmp_path, server, url, etags={url: '"v1"'})[0]
        assert (photo.outcome, photo.etag) == found
    assert server.requests[0].headers["if-none-match"] == '"v1"'


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
        until(lambda: not source.wants_more, "it wants no more")
        for taken in range(60):
            assert len(server.requests) <= taken + 5 + limits.per_host
            assert len(take_all(source, 1)[0].outcome) == 100_000


def test_what_is_forgotten_does_not_come_until_it_is_wanted_again(tmp_path, server):
    held, gate = server.gate()
    shared = server.on("/shared", held)
    alone = server.on("/alone", held)
    with photos(tmp_path, server.place) as source:
        source.want(wanted(shared, alone, "nothing.jpg"), {})
        source.want(wanted(shared, chunk=1), {})
        until(lambda: len(server.requests) == 2, "both are under way")
        source.forget(0)
        source.want(wanted(alone), {})
        gate.set()
        came = take_all(source, 2)
        assert [(photo.wanted.chunk, photo.wanted.cell) for photo in came] == [(0, alone), (1, shared)]
        assert source.take(30.0) is None, "nothing is waited for where nothing is wanted"


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


def test_photos_on_disk_and_elsewhere_come_from_one_source(tmp_path, server):
    (tmp_path / "a.jpg").write_bytes(b"on disk")
    with photos(tmp_path, server.place) as source:
        assert not source.wants_more
        source.want(wanted("a.jpg", None, "ftp://shop.test/a"), {})
        assert not source.wants_more
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


def test_photos_on_disk_need_no_thread_and_no_http(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"photo")
    code = (
        "import sys, threading; from pathlib import Path\n"
        "from tests.photo_jobs import photo_job, take_all, wanted\n"
        "from worker.job.job import photos_of\n"
        f"source = photos_of(photo_job({str(tmp_path)!r})); source.want(wanted('a.jpg'), {{}})\n"
        "print(take_all(source, 1)[0].outcome, 'aiohttp' in sys.modules, threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "b'photo' False 1"
