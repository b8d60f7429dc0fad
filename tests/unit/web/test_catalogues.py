"""Catalogues for new jobs: places on the server, uploads, previews."""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest

from catalogue.remote import WebLimits
from models.errors import HangtagError, ImageError, ImageFault, InputError, JobError
from web.catalogues import Places, Preview, SlowCalls, drawn, preview, uploaded
from web.responses import Problem
from web.settings import WebSettings


def test_a_server_for_others_reads_only_files_below_data(tmp_path: Path, token_file: Path) -> None:
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
    assert shown.photos[0] == (drawn / name).read_bytes()
    assert [photo.fault for photo in shown.photos[1:]] == [ImageFault.MISSING, ImageFault.REFUSED]
    assert "missing" in shown.faults


def test_a_photo_of_a_preview_that_cannot_be_drawn_hides_no_other() -> None:
    async def draw(photo: bytes, side: int) -> bytes:
        if photo == b"no process":
            raise HangtagError(photo.decode())
        if photo == b"damaged":
            raise damaged
        return photo

    damaged = ImageError("It is damaged.", ImageFault.UNREADABLE)
    late = ImageError("It did not come.", ImageFault.DOWNLOAD)
    shown = asyncio.run(drawn(Preview(photos=(b"good", b"no process", b"damaged", late)), draw))
    good, *others = shown.photos
    assert str(good).startswith("data:image/jpeg;base64,")
    faults = [one.fault for one in others if isinstance(one, ImageError)]
    assert faults == [ImageFault.DOWNLOAD, ImageFault.UNREADABLE, ImageFault.DOWNLOAD]


def test_a_preview_gives_the_host_of_a_catalogue_some_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[WebLimits] = []

    def download(url: str, file: object, allow_hosts: Sequence[str], limits: WebLimits) -> None:
        given.append(limits)
        raise JobError(url)

    monkeypatch.setattr("catalogue.remote.fetch_url", download)
    with pytest.raises(JobError):
        preview("https://shop.example/spring.csv")
    assert given[0].all_s == 15


def test_a_few_slow_calls_are_made_at_once_and_others_are_refused() -> None:
    async def calls() -> list[bool]:
        slow, answered = SlowCalls(), Event()
        under_way = [asyncio.create_task(slow.call(answered.wait)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="try again") as refused:
            await slow.call(answered.wait)
        assert refused.value.status == 429
        answered.set()
        return [*await asyncio.gather(*under_way), await slow.call(answered.wait)]

    assert asyncio.run(calls()) == [True] * 5


def test_a_slow_call_raises_what_its_function_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(SlowCalls().call(divmod, 1, 0))
