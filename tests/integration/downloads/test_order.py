"""The order of downloads, and how often each photo is fetched."""

from dataclasses import replace

import pytest

from tests.integration.downloads.downloading import HASTY, fetched, photos
from tests.integration.nasty_server import whole
from tests.photo_jobs import photo_requests, take_all
from tests.until import until


@pytest.mark.parametrize("per_host", [1, 8])
def test_requests_to_a_host_stay_within_its_limit_and_reuse_connections(per_host, tmp_path, server):
    with photos(tmp_path, server.place, limits=None, per_host=per_host) as source:
        source.request(photo_requests(*(server.url(f"/{number}") for number in range(200))), {})
        take_all(source, 200)
    assert len(server.requests) == 200
    assert server.most_at_once <= per_host
    assert server.connections <= per_host + 1


def test_a_url_that_several_rows_want_is_fetched_once(tmp_path, server):
    held, gate = server.gate()
    url = server.on("/a", held)
    with photos(tmp_path, server.place) as source:
        source.request(photo_requests(url, url), {})
        source.request(photo_requests(url, chunk=1), {})
        gate.set()
        came = take_all(source, 3)
    assert [photo.outcome for photo in came] == [b"photo"] * 3
    assert sorted(photo.downloaded for photo in came) == [0, 0, 5]
    assert sum(photo.seconds > 0 for photo in came) == 1
    assert len(server.requests) == 1


def test_only_changed_photos_are_downloaded_again(tmp_path, server):
    url = server.on("/a", whole(b"", "304 Not Modified"), whole(headers='ETag: "v2"\r\n'))
    for found in ((None, '"v1"'), (b"photo", '"v2"')):
        photo = fetched(tmp_path, server, url, etags={url: '"v1"'})[0]
        assert (photo.outcome, photo.etag) == found
    assert server.requests[0].headers["if-none-match"] == '"v1"'


def test_no_more_is_downloaded_than_there_is_room_for(tmp_path, server):
    server.otherwise(whole(bytes(100_000)))
    limits = replace(HASTY, room=500_000)
    with photos(tmp_path, server.place, limits=limits) as source:
        source.request(photo_requests(*(server.url(f"/{number}") for number in range(60))), {})
        until(lambda: len(server.requests) >= 5, "the room is full")
        until(lambda: not source.wants_more, "it wants no more")
        for taken in range(60):
            assert len(server.requests) <= taken + 5 + limits.per_host
            assert len(take_all(source, 1)[0].outcome) == 100_000


def test_forgotten_photos_come_only_if_wanted_again(tmp_path, server):
    held, gate = server.gate()
    shared = server.on("/shared", held)
    alone = server.on("/alone", held)
    with photos(tmp_path, server.place) as source:
        source.request(photo_requests(shared, alone, "nothing.jpg"), {})
        source.request(photo_requests(shared, chunk=1), {})
        until(lambda: len(server.requests) == 2, "both are under way")
        source.forget(0)
        source.request(photo_requests(alone), {})
        gate.set()
        came = take_all(source, 2)
        assert [(photo.request.chunk, photo.request.cell) for photo in came] == [(0, alone), (1, shared)]
        assert source.take(30.0) is None, "without wanted photos, take does not wait"


def test_proxies_of_the_environment_are_not_used(tmp_path, server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert fetched(tmp_path, server, server.url("/a"))[0].outcome == b"photo"
