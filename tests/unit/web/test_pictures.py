"""Pictures of rows: read like photos to label, upright, small, and within the limits of decoding."""

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from models.errors import ImageFault
from tests.photo_jobs import photo_job
from tests.unit.catalogue.scripted_server import Answer, ScriptedServer, open_scripted_server
from web.classifier_process import drawn_picture
from web.pictures import CatalogueRows, Picture, Pictures
from worker.job.job import Job

PLUGINS = Path(__file__).parents[2] / "plugins"


DRAW = """
import sys
from pathlib import Path
from web.classifier_process import drawn_picture

def peak_mb():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

photo = sys.stdin.buffer.read()
before = peak_mb()
drawn_picture(photo, 30)
print(peak_mb() - before)
"""


class OneCell(CatalogueRows):
    """A catalogue whose rows all name one photo."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self._cell = cell

    def image(self, job: Job, row: int) -> str | None:
        return self._cell


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with open_scripted_server() as server:
        server.answers["/1.jpg"] = [Answer(photo(200, 100))]
        yield server


def photo(width: int, height: int, orientation: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height), "teal").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def saved(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def pictures_of(cell: str, job: Job, *sides: int, decode_s: float = 60.0) -> list[Picture]:
    async def made() -> list[Picture]:
        pictures = Pictures(OneCell(cell), decode_s=decode_s)
        try:
            return [await pictures.picture(job, 0, side) for side in sides]
        finally:
            await pictures.close()

    return asyncio.run(made())


def size_of(picture: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(picture)).size


def test_a_photo_of_a_host_is_fetched_once_for_pictures_of_two_sizes(tmp_path: Path, server: ScriptedServer) -> None:
    small, large = pictures_of(server.url("/1.jpg"), photo_job(tmp_path, allow_hosts=(server.host,)), 96, 400)
    assert (size_of(small.data), size_of(large.data)) == ((96, 48), (200, 100))
    assert len(server.asked) == 1


def test_a_host_of_a_private_network_is_not_asked(tmp_path: Path, server: ScriptedServer) -> None:
    (refused,) = pictures_of(server.url("/1.jpg"), photo_job(tmp_path), 96)
    assert refused.fault is ImageFault.REFUSED
    assert server.asked == []


def test_a_photo_outside_the_root_of_a_confined_job_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(photo(10, 10))
    (tmp_path / "photos").mkdir()
    (refused,) = pictures_of("../secret.jpg", photo_job(tmp_path / "photos", confined=True), 96)
    assert refused.fault is ImageFault.REFUSED


def test_a_placeholder_makes_no_markup_of_a_name(tmp_path: Path) -> None:
    (refused,) = pictures_of("<script>&.jpg", photo_job(tmp_path), 400)
    assert b"<script" not in refused.data
    assert b"No photo: missing" in refused.data
    assert refused.kind == "image/svg+xml"
    (small,) = pictures_of("<script>&.jpg", photo_job(tmp_path), 96)
    assert b">missing</text></g></svg>" in small.data


def test_a_bomb_is_neither_decoded_nor_given(tmp_path: Path) -> None:
    Image.new("1", (8000, 7000)).save(tmp_path / "bomb.png")
    (bomb,) = pictures_of("bomb.png", photo_job(tmp_path), 200)
    assert (bomb.kind, bomb.fault) == ("image/svg+xml", ImageFault.TOO_LARGE)


@pytest.mark.parametrize(
    ("data", "fault"), [(b"HANG", ImageFault.TIMEOUT), (b"BOOM", ImageFault.CRASHED), (b"GROW", ImageFault.TOO_LARGE)]
)
def test_a_photo_that_hangs_grows_or_kills_its_decoder_blocks_a_process_briefly(
    tmp_path: Path, data: bytes, fault: ImageFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    (tmp_path / "hostile.jpg").write_bytes(data)
    hostile, again = pictures_of("hostile.jpg", photo_job(tmp_path), 200, 400, decode_s=0.3)
    assert [hostile.fault, again.fault] == [fault, fault]


def test_a_picture_is_drawn_within_labellings_memory_limit() -> None:
    image = Image.new("RGBA", (60, 40), (0, 128, 128, 128))
    drawn = drawn_picture(saved(image, "PNG"), 30)
    assert size_of(drawn) == (30, 20)
    assert Image.open(io.BytesIO(drawn)).getpixel((3, 3)) == pytest.approx((127, 191, 191), abs=3), "over white"
    large = saved(image.resize((4000, 3000)), "PNG")
    measured = subprocess.run([sys.executable, "-c", DRAW], input=large, capture_output=True, check=True)
    assert float(measured.stdout) < 4000 * 3000 * 14 / 2**20, "what is transparent is reduced first"


def test_a_picture_stands_upright_and_is_never_larger_than_its_photo() -> None:
    assert size_of(drawn_picture(photo(200, 100, orientation=6), 96)) == (48, 96)
    assert size_of(drawn_picture(photo(20, 10), 400)) == (20, 10)
