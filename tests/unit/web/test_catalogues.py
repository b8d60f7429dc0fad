"""Catalogues for new jobs: places on the server, uploads, previews."""

import os
import tempfile
from pathlib import Path

import pytest

from catalogue.text_file import LIKELY_ENCODINGS
from models.errors import ImageFault, InputError
from web.catalogues import ENCODINGS, Places, Uploads, preview
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
        ("..\\..\\boot.tsv", "boot.tsv"),
        ("a\nb\0<script>.parquet", "a-b-script.parquet"),
        (".csv.csv", "csv.csv"),
        ("?.csv", "catalogue.csv"),
        ("ä" * 300 + ".txt", "catalogue.txt"),
    ],
)
def test_of_an_uploads_name_only_harmless_characters_are_kept(sent: str, kept: str) -> None:
    uploads = Uploads()
    place = uploads.path(uploads.keep(sent, [b"image\n", b"a.jpg\n"]))
    assert (place.name, place.read_text()) == (kept, "image\na.jpg\n")
    uploads.close()
    assert not place.exists()


@pytest.mark.parametrize("token", ["", "..", "0" * 24, "../" * 8, "g" * 24])
def test_an_unknown_upload_is_refused(token: str) -> None:
    uploads = Uploads()
    uploads.keep("a.csv", [b""])
    with pytest.raises(InputError):
        uploads.path(token)
    uploads.close()


def test_uploads_to_a_server_that_was_killed_are_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, mine = tmp_path / "hangtag-uploads-left", tmp_path / "mine"
    for folder in (left / "token", mine):
        folder.mkdir(parents=True)
        (folder / "big.csv").write_text("image\n")
    (tmp_path / "hangtag-uploads-link").symlink_to(mine)
    for folder in (left / "token", left, mine):
        os.utime(folder, (0, 0))
    uploads = Uploads()
    uploads.keep("a.csv", [b""])
    assert not left.exists()
    assert (mine / "big.csv").exists()
    uploads.close()


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


def test_encodings_of_the_form_are_those_that_are_guessed() -> None:
    assert set(LIKELY_ENCODINGS) | {"utf-16-le", "utf-16-be"} == set(ENCODINGS)
