import pytest

from worker.photos.place import url_of

CASES = [
    ("https://shop.example/a.jpg", "/srv", "https://shop.example/a.jpg"),
    ("HTTP://shop.example/a.jpg", "s3://shop/photos", "HTTP://shop.example/a.jpg"),
    ("s3://shop/a.jpg", "/srv", "s3://shop/a.jpg"),
    ("shoes/a b.jpg", "https://shop.example/photos/", "https://shop.example/photos/shoes/a%20b.jpg"),
    ("/shoes/a b.jpg", "s3://shop/photos", "s3://shop/photos/shoes/a b.jpg"),
    ("shoes/a.jpg", "/srv/photos", None),
    ("data:image/png;base64,AAAA", "https://shop.example", None),
    ("ftp://shop.example/a.jpg", "https://shop.example", None),
    ("", "https://shop.example", None),
    (None, "https://shop.example", None),
]


@pytest.mark.parametrize(("cell", "root", "url"), CASES)
def test_a_cell_under_a_root_is_this_place(cell: str | None, root: str, url: str | None) -> None:
    assert url_of(cell, root) == url
