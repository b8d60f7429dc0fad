"""What cells mean, and the photos that they hold."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.photo import Cells, photo_in
from catalogue.urls import Target
from models.errors import ImageError, ImageFault


@given(st.binary(max_size=200))
def test_bytes_come_back_as_they_were_written(data):
    assert photo_in("data:image/jpeg;base64," + base64.b64encode(data).decode()) == data
    assert photo_in("data:image/jpeg;base64," + quote(base64.b64encode(data).decode(), safe="")) == data
    assert photo_in("DATA:text/plain;charset=utf-8," + quote(data, safe="")) == data


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64", "data:", "data:;base64,A", "data:;base64,AAA", "data:;base64,AA=A",
        "data:;base64,AA-_", "data:;base64,AA AAA", "data:;base64,äAAA", "data:,%4", "data:,%zz", "data:,ö",
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused(uri):
    with pytest.raises(ImageError) as caught:
        photo_in(uri)
    assert caught.value.fault is ImageFault.REFUSED


@pytest.mark.parametrize("write", [base64.b64encode, lambda data: quote(base64.b64encode(data), safe="").encode()])
def test_one_byte_too_many_is_too_large(write):
    assert len(photo_in("data:;base64," + write(bytes(300)).decode(), max_bytes=300)) == 300
    for length in (301, 400):
        with pytest.raises(ImageError) as caught:
            photo_in("data:;base64," + write(bytes(length)).decode(), max_bytes=300)
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


@pytest.mark.parametrize("root", ["{}", "s3://bucket", "http://127.0.0.1:1/a"])
def test_a_cell_fails_its_row(root, tmp_path):
    cells = Cells(root.format(tmp_path), confined=True)
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
