"""The meaning of cells, and the photos in them."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.photo import PhotoLocator, decode_data_uri
from catalogue.urls import Target
from models.errors import ImageError, ImageFault
from tests.photo_jobs import outcome_of


@given(st.binary(max_size=200))
def test_bytes_come_back_as_they_were_written(data):
    assert decode_data_uri("data:image/jpeg;base64," + base64.b64encode(data).decode()) == data
    assert decode_data_uri("data:image/jpeg;base64," + quote(base64.b64encode(data).decode(), safe="")) == data
    assert decode_data_uri("DATA:text/plain;charset=utf-8," + quote(data, safe="")) == data


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64", "data:", "data:;base64,A", "data:;base64,AAA", "data:;base64,AA=A",
        "data:;base64,AA-_", "data:;base64,AA AAA", "data:;base64,äAAA", "data:,%4", "data:,%zz", "data:,ö",
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused(uri):
    with pytest.raises(ImageError) as caught:
        decode_data_uri(uri)
    assert caught.value.fault is ImageFault.REFUSED


@pytest.mark.parametrize("write", [base64.b64encode, lambda data: quote(base64.b64encode(data), safe="").encode()])
def test_one_byte_too_many_is_too_large(write):
    assert len(decode_data_uri("data:;base64," + write(bytes(300)).decode(), max_bytes=300)) == 300
    for length in (301, 400):
        with pytest.raises(ImageError) as caught:
            decode_data_uri("data:;base64," + write(bytes(length)).decode(), max_bytes=300)
        assert caught.value.fault is ImageFault.TOO_LARGE


STRANGE = [
    "\ud800", "a\ud800.jpg", "http://a.test/\ud800.jpg", "http://\ud800.test/a.jpg",
    "s3://bucket/\ud800", "data:,\ud800", "\x00", "http://a\x00.test/", "a" * 1_000_000,
    "a/" * 100_000, "http://" + "a" * 100_000, "http://" + "ü" * 5000 + ".test/",
    "http://" + "xn--a" * 20 + "/", "http://xn--.test/", "http://\u200d.test/", "http://\u2488com/",
    "http://a.test:٣/", "http://a.test:99999999999/", "http://[::1%25\ud800]/",
    "http://[" + ":" * 5000 + "]/", "data:;base64," + "=" * 1000, ":" * 100_000, "%" * 100_000,
    "://", "\u202e\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("root", ["{}", "s3://bucket", "http://127.0.0.1:1/a"])
def test_a_cell_fails_its_row(root, tmp_path):
    cells = PhotoLocator(root.format(tmp_path), confined=True)
    for cell in STRANGE:
        try:
            place = cells.place(cell)
        except ImageError:
            assert cells.url(cell) is None
            continue
        if isinstance(place, Target):
            assert cells.url(cell) == place.text
            continue
        with pytest.raises(ImageError):
            place()


def test_base64_may_lack_what_comes_before_it_and_have_blanks_and_line_ends():
    data = b"\xff\xd8\xff\xe0" + bytes(range(256))
    text = base64.encodebytes(data).decode()
    for cell in (text, f" {text}", text.replace("\n", "\r\n"), f"data:image/jpeg;base64, {text}"):
        assert PhotoLocator(".").place(cell)() == data


@pytest.mark.parametrize("confined", [True, False])
def test_a_photo_is_found_by_the_name_that_a_path_means(confined, tmp_path):
    names = {
        "a.jpg, red.jpg": "a.jpg",
        "img\\hat.jpg": "img/hat.jpg",
        "/h/a/hat.jpg": "h/a/hat.jpg",
        " b.jpg ": "b.jpg",
    }
    names |= {"H\u00fcte.jpg": "Hu\u0308te.jpg", "Bu\u0308ro.jpg": "B\u00fcro.jpg"}
    for name in names.values():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    cells = PhotoLocator(str(tmp_path), confined=confined)
    for cell, name in names.items():
        assert outcome_of(tmp_path, cell, confined=confined) == name.encode()
        assert cells.name(cell) == name
        assert cells.name(name) == name
    for cell in ("img\\hat.jpg", "a.jpg, red.jpg"):
        (tmp_path / cell).write_text("the literal name")
        assert outcome_of(tmp_path, cell, confined=confined) == b"the literal name"


def test_no_other_name_leads_out_of_the_root_or_tells_what_is_there(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.jpg").write_text("secret")
    cells = PhotoLocator(str(root), confined=True)
    for cell in ("..\\secret.jpg", " ../secret.jpg", "..\\..\\etc\\passwd", f"{tmp_path}\\secret.jpg"):
        there, absent = (outcome_of(root, name) for name in (cell, cell.replace("secret", "absent")))
        assert there.fault is absent.fault
        assert cells.name(cell) == cell
        assert cells.hint(cell.removesuffix(".jpg")) == cells.hint(
            cell.removesuffix(".jpg").replace("secret", "absent")
        )


HINTS = {
    "C:\\photos\\hat.jpg": "Windows path",
    "\\\\server\\hat.jpg": "Windows path",
    "www.shop.com/hat.jpg": "write https://",
    "shop.com:80/hat.jpg": "write https://",
    "Qk" + "A" * 5000: "write data:;base64, before it",
    "15970": "15970.jpg exists, so pass --image-suffix .jpg",
}


@pytest.mark.parametrize("cell", HINTS)
def test_what_is_no_path_is_explained_in_a_short_sentence(cell, tmp_path):
    (tmp_path / "15970.jpg").write_text("photo")
    error = outcome_of(tmp_path, cell)
    assert error.fault is ImageFault.MISSING
    assert HINTS[cell] in str(error)
    assert len(str(error)) < 400


class _Broken(PhotoLocator):
    def _place(self, cell):
        raise ValueError


def test_no_message_shows_a_part_of_a_secret(caplog):
    cell = f"https://me:{'SECRET' * 50}@h/a.jpg"
    for cells, text in ((_Broken("."), cell), (PhotoLocator("."), f"{cell}\udcff")):
        with pytest.raises(ImageError) as refusal:
            cells.place(text)
        assert "SECRET" not in str(refusal.value) + caplog.text


def test_of_several_paths_under_a_url_the_first_is_taken():
    assert PhotoLocator("https://h/img").url("1.jpg, 2.jpg") == "https://h/img/1.jpg"


def test_a_url_without_its_scheme_has_that_of_the_root_or_https():
    for cell in ("//cdn.shop.com/a.jpg?v=1", " //cdn.shop.com/a.jpg?v=1"):
        for root, scheme in (
            (".", "https"),
            ("s3://shop", "https"),
            ("https://a.test", "https"),
            ("http://a.test", "http"),
        ):
            url = f"{scheme}://cdn.shop.com/a.jpg?v=1"
            assert PhotoLocator(root).place(cell).text == url
            assert PhotoLocator(root).url(cell) == url
