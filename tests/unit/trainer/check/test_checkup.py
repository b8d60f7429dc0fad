import pytest

from models.errors import DataError
from trainer.check.checkup import check_up, find
from trainer.check.issues import Issue
from trainer.data.dataset import read_dataset
from trainer.data.photo_cache import StatisticsStore


class Told:
    """The steps of a check, as it tells of them."""

    def __init__(self):
        self.steps = []

    def advance(self, what, done, total):
        self.steps.append((what, done, total))


@pytest.fixture
def shop(tmp_path, tiles):
    """Two photos and a CSV that names them, and files that are not there."""
    tiles(1).save(tmp_path / "a.png")
    tiles(2).save(tmp_path / "b.png")

    def named(*files):
        rows = "".join(f"{file},{label}\n" for file, label in zip(files, ("hat", "vase", "hat"), strict=False))
        (tmp_path / "shop.csv").write_text(f"image,label\n{rows}")
        return read_dataset(tmp_path / "shop.csv")

    return named


def test_a_file_that_is_not_there_is_missing_and_no_broken_image(shop, tmp_path):
    found = find(check_up(shop("a.png", "b.png", "gone.png"), StatisticsStore(tmp_path / "looks"), Told()))
    assert (found.count(Issue.MISSING), found.count(Issue.UNREADABLE)) == (1, 0)


def test_where_no_file_is_there_nothing_is_checked(shop, tmp_path):
    with pytest.raises(DataError, match=r"shop\.csv names, found none of the 3 files, such as \S+/x\.png; check"):
        check_up(shop("x.png", "y.png", "z.png"), StatisticsStore(tmp_path / "looks"), Told())


def test_photos_that_the_cache_knows_are_not_looked_at_again(shop, tmp_path):
    dataset, store, first, second = shop("a.png", "b.png"), StatisticsStore(tmp_path / "looks"), Told(), Told()
    check_up(dataset, store, first)
    check_up(dataset, store, second)
    assert [step for step in first.steps if step[0] == "Looking"] == [("Looking", n, 2) for n in range(3)]
    assert not [step for step in second.steps if step[0] == "Looking"]
