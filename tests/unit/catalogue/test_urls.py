"""URLs, checked and parsed; the photos in the cells of an image column."""

import base64

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.urls import (
    URL_OR_DATA,
    Scheme,
    checked_headers,
    checked_root,
    checked_url,
    folder_of,
    is_url,
    is_url_or_data,
    join_url,
    other_spellings,
    parse_url,
    photo_cells,
    readable,
    rows_with_several,
    safe_url,
    scheme_of,
    stem_of,
    suffix_of,
)
from models.errors import ImageError, ImageFault, InputError

URLS = {
    "https://shop.example/feeds/spring.CSV": ("https://shop.example/feeds", ".csv", "spring"),
    "https://shop.example/spring%20a.tsv?sig=abc#x": ("https://shop.example", ".tsv", "spring a"),
    "http://user:pass@[::1]:8080/a.parquet": ("http://[::1]:8080", ".parquet", "a"),
    "https://shop.example/export?file=a.csv": ("https://shop.example", "", "export"),
    "s3://shop/feeds/what?.txt": ("s3://shop/feeds", ".txt", "what?"),
    "s3://shop/a b#1.jsonl": ("s3://shop", ".jsonl", "a b#1"),
    "s3://shop/photos/": ("s3://shop/photos", "", "photos"),
    "s3://shop": ("s3:/", "", "shop"),
    "https://shop.example": ("https:/", "", "shop.example"),
}


@pytest.mark.parametrize(("url", "parts"), URLS.items(), ids=URLS)
def test_the_parts_of_a_url(url: str, parts: tuple[str, str, str]) -> None:
    assert (folder_of(url), suffix_of(url), stem_of(url)) == parts
    assert is_url(url)
    assert checked_url(url) == url


SECRETS = st.from_regex(r"[a-z0-9:]{1,8}", fullmatch=True).map(lambda text: f"SECRET{text}")


@given(scheme=st.sampled_from(["http", "https"]), user=SECRETS, query=SECRETS, fragment=SECRETS)
def test_no_credential_is_shown(scheme: str, user: str, query: str, fragment: str) -> None:
    url = f"{scheme}://{user}@host:8000/a/b.csv?{query}#{fragment}"
    assert safe_url(url) == f"{scheme}://host:8000/a/b.csv"
    assert "SECRET" not in folder_of(url) + stem_of(url) + suffix_of(url)
    with pytest.raises(InputError, match="--image-root") as refusal:
        checked_root(url)
    assert "SECRET" not in str(refusal.value)


REFUSED = (
    "ftp://user:SECRET@host/a.csv", "file:///etc/a.csv", "gopher://x", "s3:///a", "http://",
    "http://u:SECRET@host:99999/c.csv", "http://u:SECRET@host:0/c.csv",
    "http://u:SECRET@host:x/c.csv", "http://u:SECRET@[::1/c.csv", "http://u:SECRET@ho\0st/c.csv",
    "s3://bucket/a\0.csv",
)  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_other_schemes_and_urls_of_nowhere_are_refused(url: str) -> None:
    with pytest.raises(InputError) as refusal:
        checked_url(url)
    assert "SECRET" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "text", "place"),
    [
        ("http://shop.test/a.jpg", "http://shop.test/a.jpg", "shop.test:80"),
        ("HTTPS://Shop.TEST/A.jpg", "https://shop.test/A.jpg", "shop.test:443"),
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
    ],
)
def test_a_url_is_sent_as_it_must_be(url, text, place):
    target = parse_url(url)
    assert (target.text, target.place) == (text, place)
    assert parse_url(target.text) == target


@pytest.mark.parametrize(
    ("cell", "scheme"),
    [
        ("shoes/1.jpg", None), ("C:\\photos\\1.jpg", None), ("12:30.jpg", None), ("a: b.jpg", None),
        ("HTTP://a/b", "http"), (" https://a/b", "https"), ("http:a", "http"), ("data:,x", "data"),
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
        ("s3://box/img", "a b#?.jpg", "s3://box/img/a b#?.jpg"),
    ],
)
def test_a_path_is_joined_to_a_url(base, cell, url):
    assert join_url(base, cell) == url
    assert parse_url(url).text == url


@given(st.text())
def test_whatever_a_cell_says_is_a_url_or_refused(text):
    for url in (text, f"http://{text}", f"https://shop.test/{text}", f"s3://{text}"):
        try:
            target = parse_url(url)
        except ImageError as error:
            assert error.fault is ImageFault.REFUSED  # noqa: PT017 - it may be a URL
            continue
        assert not set(target.text) & set(map(chr, range(32)))
        assert target.scheme is Scheme.S3 or target.text.isascii()
        assert parse_url(target.text) == target


JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(range(256))).decode()
WITHOUT_SCHEME = {
    "//cdn.shop.com/a.jpg": "https",
    "//127.0.0.1:8765/a.jpg": "https",
    "//[::1]/a.jpg": "https",
    " //cdn.shop.com/a.jpg": "https",
    "http:\\\\shop.com\\a.jpg": "http",
    JPEG: "data",
    f" {JPEG[:40]}\n{JPEG[40:]}": "data",
    "//tmp/a.jpg": None,
    "//./a.jpg": None,
    "/9j/a.jpg": None,
    "iVBORw0KGgo.png": None,
    "img\\a.jpg": None,
    "www.shop.com/a.jpg": None,
}


@pytest.mark.parametrize(("cell", "scheme"), WITHOUT_SCHEME.items(), ids=range(len(WITHOUT_SCHEME)))
def test_a_cell_may_lack_its_scheme(cell: str, scheme: str | None) -> None:
    assert scheme_of(cell) == scheme
    assert is_url_or_data(cell) == (scheme is not None)


SEVERAL = {
    "http://a.test/1.jpg, http://a.test/2.jpg": "http://a.test/1.jpg",
    "http://a.test/1.jpg,https://a.test/2.jpg": "http://a.test/1.jpg",
    "http://a.test/1|http://a.test/2": "http://a.test/1",
    "http://a.test/1.jpg\nhttp://a.test/2.jpg\n": "http://a.test/1.jpg",
    "//a.test/1.jpg; //a.test/2.jpg": "//a.test/1.jpg",
    "/h/a/1.jpg,/h/b/2.jpg": "/h/a/1.jpg,/h/b/2.jpg",
    "1.jpg | 2.png": "1.jpg | 2.png",
    "http://a.test/1?w=1,2, http://a.test/2?w=1": "http://a.test/1?w=1,2",
    '["http://a.test/1.jpg", "http://a.test/2.jpg"]': "http://a.test/1.jpg",
    "['1.jpg', '2.jpg']": "1.jpg",
    '[{"src": "http://a.test/1.jpg"}, {"src": "http://a.test/2.jpg"}]': "http://a.test/1.jpg",
}
ONE = {
    '["http://a.test/1.jpg"]': "http://a.test/1.jpg",
    "[]": "",
    '["", null, "1.jpg"]': "1.jpg",
    '{"id": 1}': '{"id": 1}',
    "[1]": "[1]",
    "https://x/y?u=a,https://b/z.jpg": "https://x/y?u=a,https://b/z.jpg",
    "https://x/a.jpg|size=1.png": "https://x/a.jpg|size=1.png",
    "https://x/1.jpg,": "https://x/1.jpg",
    "1.jpg,": "1.jpg",
    "red, blue hat.jpg": "red, blue hat.jpg",
    "[new] hat.jpg": "[new] hat.jpg",
    "a.jpg,copy": "a.jpg,copy",
    "http://a.test/fetch/w_1,h_2/http://b.test/1.jpg": "http://a.test/fetch/w_1,h_2/http://b.test/1.jpg",
    "http://a.test/1.jpg?of=a,b": "http://a.test/1.jpg?of=a,b",
    f"data:;base64,//{JPEG}": f"data:;base64,//{JPEG}",
}


@pytest.mark.parametrize("cells", [SEVERAL, ONE], ids=["several", "one"])
def test_the_first_photo_of_a_cell_is_taken_and_rows_with_several_are_counted(cells: dict[str, str]) -> None:
    column = pa.array([*cells, None])
    assert photo_cells(column) == [*cells.values(), None]
    assert rows_with_several(column) == (len(cells) if cells is SEVERAL else 0)


def test_lists_records_and_bytes_name_photos() -> None:
    data = b"\x89PNG\r\n" + bytes(100)
    uri = f"data:;base64,{base64.b64encode(data).decode()}"
    lists = pa.array([["1.jpg", "2.jpg"], [], None, ["3.jpg"]])
    assert photo_cells(lists) == ["1.jpg", None, None, "3.jpg"]
    assert rows_with_several(lists) == 1
    late = pa.array([[None, "1.jpg"], ["", "2.jpg", "3.jpg"], [None], None, ["4.jpg"]])
    for column in (late, pa.chunked_array([late[:1], late[1:]]), late.cast(pa.large_list(pa.string()))):
        assert photo_cells(column) == ["1.jpg", "2.jpg", None, None, "4.jpg"]
    assert photo_cells(pa.array([None, [None, "1.jpg"], ["2.jpg", None]], pa.list_(pa.string(), 2))) == [
        None,
        "1.jpg",
        "2.jpg",
    ]
    assert rows_with_several(pa.array([[None, "1.jpg"], ["2.jpg", "3.jpg"], None, []])) == 1
    records = pa.array([{"bytes": data, "path": "1.png"}, {"bytes": None, "path": "2.png"}, None])
    assert photo_cells(records) == [uri, "2.png", None]
    assert photo_cells(pa.array([[{"bytes": data}], []])) == [uri, None]
    assert photo_cells(pa.array([data, b"img/1.jpg", None])) == [uri, "img/1.jpg", None]


def test_a_suffix_is_added_to_paths_without_an_images() -> None:
    cells = ["15970", "1.2", "a.PNG", "https://a.test/15970", "", None, " 7 "]
    taken = ["15970.jpg", "1.2.jpg", "a.PNG", "https://a.test/15970", "", None, "7.jpg"]
    assert photo_cells(pa.array(cells), ".jpg") == taken
    assert photo_cells(pa.array([15970]), ".jpg") == ["15970.jpg"]


def test_a_path_may_mean_another_name() -> None:
    assert list(other_spellings("img/hat.jpg")) == []
    assert list(other_spellings(" img\\hat.jpg")) == ["img\\hat.jpg", "img/hat.jpg"]
    assert list(other_spellings("/h/a/hat.jpg")) == ["h/a/hat.jpg"]
    assert list(other_spellings("a\\1.jpg, 2.jpg")) == ["a/1.jpg, 2.jpg", "a\\1.jpg", "a/1.jpg"]
    assert "Hu\u0308te.jpg" in other_spellings("H\u00fcte.jpg")
    assert "H\u00fcte.jpg" in other_spellings("Hu\u0308te.jpg")


def test_headers_are_checked_and_their_values_never_shown() -> None:
    assert checked_headers(["User-Agent: shop/1.0", "Tenant:  a: b "]) == {"User-Agent": "shop/1.0", "Tenant": "a: b"}
    for header in (
        "SECRET",
        "X: SECRET\r\nHost: a",
        "X Y: SECRET",
        "X: SECRETé",
        "X:",
        "Host: SECRET",
        "if-match: SECRET",
    ):
        with pytest.raises(InputError, match="--header") as refusal:
            checked_headers([header])
        assert "SECRET" not in str(refusal.value)
    with pytest.raises(InputError, match="got cookie twice") as refusal:
        checked_headers(["Cookie: SECRET", "cookie: SECRET"])
    assert "SECRET" not in str(refusal.value)


def test_a_cell_of_dots_is_told_from_a_url_in_linear_time() -> None:
    for cell in (f"//a{'.' * 200_000}", f"//{'a.' * 100_000} /", f"//a{'.:' * 100_000}\n"):
        assert scheme_of(cell) is None
        assert not is_url_or_data(cell)
    matches = pc.match_substring_regex(pa.array(["//a.test/1.jpg", "//tmp/1.jpg"]), URL_OR_DATA)
    assert matches.to_pylist() == [True, False]


CELLS = {
    "img/hat.jpg?sv=1&sig=SECRET": "img/hat.jpg?…",
    "https:\\\\user:SECRET@host\\x.jpg?sig=SECRET": "https://host/x.jpg?…",
    "hat.jpg?a=1 &sig=SECRET": "hat.jpg?…",
    "www.shop.com/x.jpg?sig=SECRET": "www.shop.com/x.jpg?…",
    "https://a/1.jpg,//user:SECRET@b/2.jpg": "https://a/1.jpg,//b/2.jpg",
    "https://user:12/SECRET@host/x": "https://…",
    "data:,a?b=c": "data:,a?b=c",
    "https://h/a b.jpg?x=1 &sig=SECRET": "https://h/a%20b.jpg?…",
    "https://me:my SECRET@h/a.jpg": "https://h/a.jpg",
    " //me:SECRET@h/a.jpg#SECRET": "//h/a.jpg?…",
    "https://a/1.jpg?sig=SECRET, https://b/2.jpg?sig=SECRET": "https://a/1.jpg?…",
    "what?.jpg": "what?.jpg",
    "photos//me@home.jpg": "photos//me@home.jpg",
    "https://h/a.jpg": "https://h/a.jpg",
}


@pytest.mark.parametrize(("cell", "shown"), CELLS.items(), ids=CELLS)
def test_a_cell_is_shown_without_the_secrets_of_its_url(cell: str, shown: str) -> None:
    assert readable(cell) == shown


def test_a_url_with_backslashes_is_read_as_browsers_do() -> None:
    for cell in ("//cdn.shop.com/a.jpg", "//etc/passwd"):  # which may be a path: who asks for a URL must not get it
        with pytest.raises(ImageError):
            parse_url(cell)
    assert parse_url("http:\\\\shop.com\\b\\a.jpg").text == "http://shop.com/b/a.jpg"
    assert join_url("http://shop.com", " img\\a b.jpg") == "http://shop.com/img/a%20b.jpg"
    assert join_url("s3://shop", "img\\a.jpg") == "s3://shop/img\\a.jpg"
