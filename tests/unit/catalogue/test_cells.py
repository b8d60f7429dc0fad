"""URLs, taken apart, and photos that cells hold."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.photo import Cells, photo_in
from catalogue.urls import Scheme, Target, joined, parse_url, scheme_of
from models.errors import ImageError, ImageFault


@pytest.mark.parametrize(
    ("url", "text", "place"),
    [
        ("http://shop.test/a.jpg", "http://shop.test/a.jpg", "shop.test:80"),
        ("HTTPS://Shop.TEST/A.jpg", "https://shop.test/A.jpg", "shop.test:443"),
        ("http://shop.test:80/a", "http://shop.test/a", "shop.test:80"),
        ("http://shop.test:8080", "http://shop.test:8080/", "shop.test:8080"),
        ("http://shop.test?id=3", "http://shop.test/?id=3", "shop.test:80"),
        ("http://shop.test/a.jpg#top", "http://shop.test/a.jpg", "shop.test:80"),
        ("http://shop.test/a b.jpg", "http://shop.test/a%20b.jpg", "shop.test:80"),
        ("http://shop.test/a%20b%2Fc.jpg?s=%7e", "http://shop.test/a%20b%2Fc.jpg?s=%7e", "shop.test:80"),
        ("http://shop.test/100%.jpg", "http://shop.test/100%25.jpg", "shop.test:80"),
        ("http://shop.test/schön.jpg", "http://shop.test/sch%C3%B6n.jpg", "shop.test:80"),
        ("http://shop.test/a\\b", "http://shop.test/a%5Cb", "shop.test:80"),
        ("http://schön.test/", "http://xn--schn-7qa.test/", "xn--schn-7qa.test:80"),
        ("http://[2001:DB8:0::7]:81/a", "http://[2001:db8::7]:81/a", "[2001:db8::7]:81"),
        (" http://shop.test/a.jpg\n", "http://shop.test/a.jpg", "shop.test:80"),
        ("http://shop_1.test/a?u=//x@y", "http://shop_1.test/a?u=//x@y", "shop_1.test:80"),
        ("s3://my-bucket/a b/c?d#e.jpg", "s3://my-bucket/a b/c?d#e.jpg", "s3://my-bucket"),
        ("S3://my-bucket/a", "s3://my-bucket/a", "s3://my-bucket"),
    ],
)
def test_a_url_is_sent_as_it_must_be(url, text, place):
    target = parse_url(url)
    assert (target.text, target.place) == (text, place)
    assert parse_url(target.text) == target


def test_the_key_of_an_object_is_what_follows_the_bucket():
    assert parse_url("s3://box/a/b c.jpg") == Target("s3://box/a/b c.jpg", Scheme.S3, "box", 0)
    assert parse_url("s3://box/a/b c.jpg").key == "a/b c.jpg"


@pytest.mark.parametrize(
    ("cell", "scheme"),
    [
        ("shoes/1.jpg", None), ("/photos/1.jpg", None), ("C:\\photos\\1.jpg", None),
        ("12:30.jpg", None), ("a: b.jpg", None), ("http://a/b", "http"), ("HTTP://a/b", "http"),
        (" https://a/b", "https"), ("http:a", "http"), ("data:,x", "data"),
        ("file:/etc/passwd", "file"), ("git+ssh://a/b", "git+ssh"), ("a b://c", "a b"),
    ],
)  # fmt: skip
def test_a_cell_is_a_url_or_a_path(cell, scheme):
    assert scheme_of(cell) == scheme


@pytest.mark.parametrize(
    ("base", "cell", "url"),
    [
        ("https://cdn.test/img", "a b/ö.jpg", "https://cdn.test/img/a%20b/%C3%B6.jpg"),
        ("https://cdn.test/img", "a%20b.jpg", "https://cdn.test/img/a%20b.jpg"),
        ("https://cdn.test/img", "no #3.jpg", "https://cdn.test/img/no%20%233.jpg"),
        ("https://cdn.test/img", "show?id=3", "https://cdn.test/img/show?id=3"),
        ("https://cdn.test/img", "//evil.test/a.jpg", "https://cdn.test/img/evil.test/a.jpg"),
        ("https://cdn.test/img", "/a.jpg", "https://cdn.test/img/a.jpg"),
        ("s3://box/img", "a b#?.jpg", "s3://box/img/a b#?.jpg"),
    ],
)
def test_a_path_is_joined_to_a_url(base, cell, url):
    assert joined(base, cell) == url
    assert parse_url(url).text == url


@given(st.text())
def test_whatever_a_cell_says_is_a_url_or_refused(text):
    for url in (text, f"http://{text}", f"https://shop.test/{text}", f"s3://{text}"):
        target, fault = parsed(url)
        assert target or fault is ImageFault.REFUSED
        if target:
            assert not set(target.text) & set(map(chr, range(32)))
            assert target.scheme is Scheme.S3 or target.text.isascii()
            assert parse_url(target.text) == target


def parsed(url):
    try:
        return parse_url(url), None
    except ImageError as error:
        return None, error.fault


@given(st.binary(max_size=200))
def test_bytes_come_back_as_they_were_written(data):
    assert photo_in("data:image/jpeg;base64," + base64.b64encode(data).decode()) == data
    assert photo_in("data:image/jpeg;base64," + quote(base64.b64encode(data).decode(), safe="")) == data
    assert photo_in("DATA:text/plain;charset=utf-8," + quote(data, safe="")) == data


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64", "data:", "data:;base64,A", "data:;base64,AAA", "data:;base64,AA=A",
        "data:;base64,AA-_", "data:;base64,AA AA", "data:;base64,äAAA", "data:,%", "data:,%4",
        "data:,%zz", "data:,ö",
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused(uri):
    with pytest.raises(ImageError, match="data URI") as caught:
        photo_in(uri)
    assert caught.value.fault is ImageFault.REFUSED


@pytest.mark.parametrize("written", [base64.b64encode, lambda data: quote(base64.b64encode(data), safe="").encode()])
@pytest.mark.parametrize(("length", "refused"), [(300, False), (301, True), (400, True)])
def test_one_byte_too_many_is_too_large(length, refused, written):
    uri = "data:;base64," + written(bytes(length)).decode()
    if not refused:
        assert len(photo_in(uri, max_bytes=300)) == length
        return
    with pytest.raises(ImageError, match="300") as caught:
        photo_in(uri, max_bytes=300)
    assert caught.value.fault is ImageFault.TOO_LARGE


STRANGE = [
    "\ud800", "a\ud800.jpg", "http://a.test/\ud800.jpg", "http://\ud800.test/a.jpg",
    "s3://bucket/\ud800", "data:,\ud800", "\x00", "http://a\x00.test/", "a" * 5_000_000,
    "a/" * 100_000, "http://" + "a" * 5_000_000, "http://" + "ü" * 5000 + ".test/",
    "http://" + "xn--a" * 20 + "/", "http://xn--.test/", "http://\u200d.test/", "http://\u2488com/",
    "http://a.test:٣/", "http://a.test:99999999999/", "http://[::1%25\ud800]/",
    "http://[" + ":" * 5000 + "]/", "data:;base64," + "=" * 1000, ":" * 100_000, "%" * 100_000,
    "://", "\u202e\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("cell", STRANGE, ids=range(len(STRANGE)))
@pytest.mark.parametrize("root", ["{}", "s3://bucket", "http://127.0.0.1:1/a"])
def test_a_cell_fails_its_row(cell, root, tmp_path):
    cells = Cells(root.format(tmp_path), confined=True)
    try:
        place = cells.place(cell)
    except ImageError:
        assert cells.url(cell) is None
        return
    if isinstance(place, Target):
        assert cells.url(cell) == place.text
        return
    with pytest.raises(ImageError):
        place()
