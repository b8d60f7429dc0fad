from worker.page.contact_sheet import SheetPhoto
from worker.page.tiles import photo_tiles
from worker.results import Status


def test_tiles_of_a_page_are_in_the_same_order(photo) -> None:
    failed = SheetPhoto(None, Status.FAILED, "gone.jpg", "failed: missing")
    tiles = photo_tiles([failed, SheetPhoto(photo, Status.REVIEW, '<b>"hat"', "review 40.0%")])
    assert tiles.index('class="tile review"') < tiles.index('class="tile failed"')
    assert tiles.count("data:image/jpeg;base64,") == tiles.count("no picture") == 1
    assert '<b>"hat"' not in tiles
    assert "&lt;b&gt;&quot;hat&quot;" in tiles
