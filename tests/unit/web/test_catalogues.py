"""Catalogues for new jobs: places on the server, uploads, previews."""

import io
from pathlib import Path

import pytest

from models.errors import ImageFault, InputError
from web.catalogues import Places, preview, uploaded
from web.settings import WebSettings


def test_only_what_lies_under_data_may_be_named_where_others_can_ask(tmp_path: Path, token_file: Path) -> None:
    data, secret = tmp_path / "data", tmp_path / "secret.csv"
    data.mkdir()
    secret.write_text("image\na.jpg\n")
    (data / "link.csv").symlink_to(secret)
    (data / "own.csv").write_text("image\na.jpg\n")
    places = Places(WebSettings(data=[data]))
    for place in (str(data / "own.csv"), "https://shop.example/urls.csv"):
        assert places.checked(place, "the catalogue") == place
    for place in (secret, data / "link.csv", data / ".." / "secret.csv", "s3://bucket/urls.csv", "file:///etc/passwd"):
        with pytest.raises(InputError, match="--data"):
            places.checked(str(place), "the catalogue")
    for host in ("192.0.2.1", "127.0.0.1"):
        with pytest.raises(InputError, match="--data"):
            Places(WebSettings(host=host, token_file=token_file)).checked(str(data), "the catalogue")
    with pytest.raises(InputError, match="the model"):
        places.checked_model(str(tmp_path))
    assert places.checked_model("shop@champion") == "shop@champion"
    own = Places(WebSettings(data=[data], model=str(tmp_path)))
    assert own.checked_model(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("products.csv", "products.csv"),
        ("../../etc/cron.d/x.CSV", "x.csv"),
        ("a\nb\0<script>.parquet", "a-b-script.parquet"),
        ("ä" * 300 + ".txt", "catalogue.txt"),
    ],
)
def test_of_an_uploads_name_only_harmless_characters_are_kept(sent: str, kept: str) -> None:
    with uploaded(sent, io.BytesIO(b"image\na.jpg\n")) as place:
        assert (place.name, place.read_text()) == (kept, "image\na.jpg\n")
    assert not place.exists()


def test_a_preview_shows_the_first_rows_and_their_photos(drawn: Path, tmp_path: Path) -> None:
    name = str(next(drawn.rglob("*.jpg")).relative_to(drawn))
    file = tmp_path / "a.csv"
    file.write_text("sku,photo,title\n" + f"1,{name},<b>x</b>\n2,gone.jpg,\n3,/etc/passwd,y\n")
    shown = preview(str(file), None, str(drawn))
    assert (shown.columns, shown.image_column) == (("sku", "photo", "title"), "photo")
    assert shown.rows[0] == ("1", name, "<b>x</b>")
    assert isinstance(shown.photos[0], str)
    assert [photo.fault for photo in shown.photos[1:]] == [ImageFault.MISSING, ImageFault.REFUSED]
    assert "missing" in shown.faults
