from dataclasses import replace

import pytest

from models.errors import DataError
from models.photo import NONE
from trainer.check.checkup import Issue, check_up
from trainer.check.near import NearPair
from trainer.data.dataset import read_dataset
from trainer.data.photo_cache import StatisticsStore


@pytest.fixture
def shop(tmp_path, tiles):
    """Two photos and a CSV that names them and missing files."""
    tiles(1).save(tmp_path / "a.png")
    tiles(2).save(tmp_path / "b.png")

    def named(*files):
        rows = "".join(f"{file},{label}\n" for file, label in zip(files, ("hat", "vase", "hat"), strict=False))
        (tmp_path / "shop.csv").write_text(f"image,label\n{rows}")
        return read_dataset(tmp_path / "shop.csv")

    return named


def ignored(_what, _done, _total):
    """Ignore progress."""


def test_a_file_that_is_not_there_is_missing_and_the_others_are_looked_at_once(shop, tmp_path):
    dataset, store, first, second = shop("a.png", "b.png", "gone.png"), StatisticsStore(tmp_path), [], []
    found = check_up(dataset, store, lambda *step: first.append(step))
    check_up(dataset, store, lambda *step: second.append(step))
    assert (found.count(Issue.MISSING), found.count(Issue.UNREADABLE)) == (1, 0)
    assert [step for step in first if step[0] == "Looking"] == [("Looking", n, 2) for n in range(3)]
    assert not [step for step in second if step[0] == "Looking"]


def test_where_no_photo_can_be_used_nothing_is_checked(shop, tmp_path):
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(DataError, match=r"shop\.csv, found none among 2: .*gone\.jpg"):
        check_up(shop("page.jpg", "gone.jpg"), StatisticsStore(tmp_path.parent / "cache"), ignored)


@pytest.fixture
def related(checkup):
    """The same photos with other relations."""

    def by(**changes):
        return replace(checkup, relations=replace(checkup.relations, **changes))

    return by


def test_closer_near_duplicates_have_lower_scores_and_equal_pixels_equal_ones(related):
    found = related(exact=((0, 6),), near=(NearPair(2, 5, 0.97), NearPair(5, 6, 1.0), NearPair(3, 4, -0.2)))
    scores = found.scores[Issue.NEAR_DUPLICATE]
    assert scores[2] == pytest.approx(0.03)
    assert scores[5] == scores[6] == scores[0] == 0
    assert found.places(Issue.NEAR_DUPLICATE) == [0, 5, 6, 2, 3, 4], "flagged however unlike"


def test_the_twin_is_what_explains_a_photo_best(checkup, related):
    assert dict(checkup.twins) == {0: 1, 1: 0, 2: 0, 3: 4, 4: 3, 5: 3}
    labels = [photo.label for photo in checkup.scanned.photos]
    twins = related(exact=((0, 1, 3, 4, 5),), near=(), conflicts=((0, 1, 3, 4, 5),), leaks=()).twins
    assert set(twins) == {0, 1, 3, 4, 5}
    assert all(labels[place] != labels[twin] for place, twin in twins.items()), "of a conflict under another label"


def test_photos_without_a_product_are_compared_and_of_no_class(tmp_path, tiles):
    """All hats and vases are PNGs; photos without a product are BMPs."""
    for number in range(90):
        label, suffix = (("hat", "png"), ("vase", "png"), (NONE, "bmp"))[number % 3]
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        tiles(number).save(tmp_path / "photos" / label / f"{number}.{suffix}")
    tiles(0).save(tmp_path / "photos" / NONE / "copy.png")
    found = check_up(read_dataset(tmp_path / "photos"), StatisticsStore(tmp_path / "cache"), ignored)
    assert found.count(Issue.LABEL_CONFLICT) == 2
    assert found.outliers == 31
    assert found.guesses
    assert not any(guess.is_shortcut or NONE in guess.pair for guess in found.guesses)
