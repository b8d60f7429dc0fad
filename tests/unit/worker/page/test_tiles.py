import numpy as np
from PIL import Image

from worker.page.contact_sheet import SheetPhoto
from worker.page.tiles import photo_tiles, picture
from worker.results import Status


def test_tiles_of_a_page_are_in_the_same_order(photo) -> None:
    failed = SheetPhoto(None, Status.FAILED, "gone.jpg", "failed: missing")
    tiles = photo_tiles([failed, SheetPhoto(photo, Status.REVIEW, '<b>"hat"', "review 40.0%")])
    assert tiles.index('class="tile review"') < tiles.index('class="tile failed"')
    assert tiles.count("data:image/jpeg;base64,") == tiles.count("no picture") == 1
    assert '<b>"hat"' not in tiles
    assert "&lt;b&gt;&quot;hat&quot;" in tiles


def test_a_tile_says_why_a_person_should_look(photo) -> None:
    tiles = photo_tiles([SheetPhoto(photo, Status.REVIEW, "hat", "review 99.7%", "unlike what the model knows")])
    assert "</span><span>unlike what the model knows</span></figcaption>" in tiles


def test_a_picture_of_much_detail_is_no_larger_than_asked_for(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    whole, small = (picture(tmp_path / "noise.png", 140, most) for most in (100_000, 4_400))
    assert len(whole) > 8_000
    assert 2_000 < len(small) < 4_400 * 4 / 3 + 100


def test_a_picture_that_need_not_be_smaller_is_not_worse(photo) -> None:
    assert picture(photo, 140, 4_400) == picture(photo, 140)
