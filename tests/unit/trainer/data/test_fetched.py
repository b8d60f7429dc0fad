"""Labelled photos behind URLs: fetched once, from allowed hosts only, or left out with the reason."""

import base64
import json

import pytest

from models.errors import ImageFault, InputError
from tests.unit.catalogue.scripted_server import Answer, open_scripted_server
from trainer.data.dataset import fetch_photos, read_dataset
from trainer.data.photo_files import FaultKind, hash_photos
from trainer.request import TableOptions


def nothing(*_): ...


@pytest.fixture
def server():
    with open_scripted_server() as script:
        yield script


@pytest.fixture
def photo(tmp_path, tiles):
    """Bytes of a photo, different for each seed."""

    def drawn(seed):
        tiles(seed).save(tmp_path / "drawn.png")
        return (tmp_path / "drawn.png").read_bytes()

    return drawn


@pytest.fixture
def fetch(tmp_path, server):
    """Fetches the photos of a table with these cells, under labels in turn."""

    def fetched(*cells, allow=True, **asked):
        table = tmp_path / "products.jsonl"
        rows = [{"shot": cell, "label": ("hat", "vase")[n % 2]} for n, cell in enumerate(cells)]
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
        hosts = (server.host,) if allow else ()
        options = TableOptions(image_column="shot", allow_hosts=hosts, **asked)
        return fetch_photos(read_dataset(table, options), options, tmp_path / "cache", nothing).photos

    return fetched


def test_each_url_is_fetched_once_for_all_its_names_and_repeats(fetch, server, photo, tmp_path):
    server.answers = {"/img/a.jpg": [Answer(photo(1))], "/b": [Answer(photo(2))]}
    urls = [server.url("/img/a.jpg"), server.url("/b?sign=SECRET"), server.url("/img/a.jpg")]
    first = fetch(*urls)
    assert [one.path.read_bytes() for one in first] == [photo(1), photo(2), photo(1)]
    assert fetch(*urls) == first
    assert sorted(path for path, _ in server.asked) == ["/b?sign=SECRET", "/img/a.jpg"]
    folder = tmp_path / "cache" / "photos" / server.host.replace(".", "_").replace(":", "_")
    assert {one.path.name.rpartition("-")[0] for one in first} == {"img_a_jpg", "b"}
    assert {one.path.parent for one in first} == {folder}
    assert not [path for path in (tmp_path / "cache").rglob("*") if "SECRET" in path.name]


def test_a_folder_of_the_web_may_be_where_paths_start_and_cells_may_hold_photos(fetch, server, photo, tmp_path):
    server.answers = {"/shop/a%20b.jpg": [Answer(photo(1))], "/shop/b.jpg": [Answer(photo(2))]}
    data = f"data:image/png;base64,{base64.b64encode(photo(3)).decode()}"
    (tmp_path / "own.png").write_bytes(photo(4))
    photos = fetch("a b.jpg", "/b.jpg", data, (tmp_path / "own.png").as_uri(), image_root=server.url("/shop/"))
    assert [one.path.read_bytes() for one in photos] == [photo(n) for n in (1, 2, 3, 4)]
    assert [one.error for one in photos] == [None] * 4
    assert photos[3].path == tmp_path / "own.png"


def test_a_failed_photo_shows_the_reason_without_its_urls_signature(fetch, server, photo):
    server.answers = {"/a": [Answer(photo(1))], "/gone": [Answer(status=404)]}
    cells = [server.url("/a"), server.url("/gone?key=SECRET"), "ftp://shop/x.jpg", "https://user:word@shop/x.jpg", ""]
    photos = fetch(*cells)
    _, unread = hash_photos(photos)
    kinds = [FaultKind.MISSING, FaultKind.REFUSED, FaultKind.REFUSED, FaultKind.MISSING]
    assert [fault.kind for _, fault in unread] == kinds
    said = [fault.message for _, fault in unread]
    assert server.url("/gone") in said[0]
    assert "404" in said[0]
    assert "found an empty cell" in said[3]
    assert not any("SECRET" in message for message in said)
    server.answers["/gone"] = [Answer(photo(2))]
    assert fetch(*cells)[1].error is None  # failed photos are requested again


def test_private_addresses_are_refused_unless_they_are_allowed(fetch, server, photo):
    server.answers = {"/a": [Answer(photo(1))]}
    (one, _) = fetch(server.url("/a"), "own.jpg", allow=False)
    assert one.error.fault is ImageFault.REFUSED
    assert server.asked == []


def test_a_page_that_came_instead_of_a_photo_is_asked_for_again(fetch, server, photo):
    server.answers = {"/a": [Answer(b"<html>Come back later</html>"), Answer(photo(1))], "/b": [Answer(photo(2))]}
    urls = [server.url("/a"), server.url("/b")]
    assert fetch(*urls)[0].path.read_bytes().startswith(b"<html>")
    assert fetch(*urls)[0].path.read_bytes() == photo(1)
    assert len(server.asked) == 3


def test_an_unwritable_cache_and_an_invalid_host_are_reported(fetch, server, photo, tmp_path):
    server.answers = {"/a": [Answer(photo(1))]}
    (tmp_path / "cache").write_text("")
    with pytest.raises(InputError, match=r"Expected to write photos into .*cache, got .*; set XDG_CACHE_HOME"):
        fetch(server.url("/a"), "own.jpg")
