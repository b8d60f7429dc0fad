"""Photos that cells hold."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ImageError, ImageFault
from worker.photos.cells import photo_in


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
