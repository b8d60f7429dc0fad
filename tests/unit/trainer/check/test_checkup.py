from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.errors import DataError, ImageError, ImageFault
from models.photo import NONE
from trainer.check.checkup import UNUSABLE, Faulty, ScannedPhotos, check_up
from trainer.check.issues import Issue, judge
from trainer.check.near import NearPair
from trainer.check.page import check_page
from trainer.check.relations import Relations
from trainer.data.dataset import LabeledPhoto, read_dataset
from trainer.data.photo_cache import StatisticsStore
from trainer.data.photo_files import FaultKind, PhotoFault


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


def ignored(_what, _done, _total):
    """Nobody listens."""


def test_a_file_that_is_not_there_is_missing_and_no_broken_image(shop, tmp_path):
    found = check_up(shop("a.png", "b.png", "gone.png"), StatisticsStore(tmp_path.parent / "cache"), ignored)
    assert (found.count(Issue.MISSING), found.count(Issue.UNREADABLE)) == (1, 0)


def test_where_no_file_is_there_nothing_is_checked(shop, tmp_path):
    with pytest.raises(DataError, match=r"shop\.csv names, found none of the 3 files, such as \S+/x\.png; check"):
        check_up(shop("x.png", "y.png", "z.png"), StatisticsStore(tmp_path), ignored)


def test_where_no_photo_can_be_used_nothing_is_checked(shop, tmp_path):
    """One host is away, one file is no photo, one is not there."""
    (tmp_path / "page.jpg").write_text("<html>")
    dataset = shop("a.png", "page.jpg", "gone.jpg")
    error = ImageError("https://shop.example/a is away.", ImageFault.DOWNLOAD)
    dataset = replace(dataset, photos=(replace(dataset.photos[0], error=error), *dataset.photos[1:]))
    said = r"photos that can be used in \S+shop\.csv, found none among 3: https://shop\.example/a is away\."
    with pytest.raises(DataError, match=said):
        check_up(dataset, StatisticsStore(tmp_path.parent / "cache"), ignored)


def test_where_only_photos_of_no_product_can_be_used_nothing_is_guessed(tmp_path, tiles):
    for label in ("hat", "vase"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / "page.jpg").write_text("<html>")
    (tmp_path / "photos" / NONE).mkdir()
    tiles(1).save(tmp_path / "photos" / NONE / "a.png")
    found = check_up(read_dataset(tmp_path / "photos"), StatisticsStore(tmp_path / "cache"), ignored)
    assert (found.guesses, found.outliers, len(found.scanned.faulty)) == ((), 1, 2)
    assert check_page(found)


def test_photos_that_the_cache_knows_are_not_looked_at_again(shop, tmp_path):
    dataset, store, first, second = shop("a.png", "b.png"), StatisticsStore(tmp_path), [], []
    check_up(dataset, store, lambda *step: first.append(step))
    check_up(dataset, store, lambda *step: second.append(step))
    assert [step for step in first if step[0] == "Looking"] == [("Looking", n, 2) for n in range(3)]
    assert not [step for step in second if step[0] == "Looking"]


@pytest.fixture
def related(checkup):
    """The same photos, related in another way."""

    def by(**changes):
        return replace(checkup, relations=replace(checkup.relations, **changes))

    return by


@pytest.mark.parametrize(
    ("issue", "places"),
    [
        (Issue.PLACEHOLDER, [6, 7]),
        (Issue.EXACT_DUPLICATE, [0, 1, 3, 4]),
        (Issue.NEAR_DUPLICATE, [0, 1, 2]),
        (Issue.LABEL_CONFLICT, [3, 4]),
        (Issue.LEAK, [1, 2, 5]),
        (Issue.DARK, [7]),
        (Issue.WRONG_EXTENSION, [7]),
        (Issue.LIGHT, []),
        (Issue.MISSING, []),
        (Issue.UNREADABLE, []),
    ],
)
def test_photos_with_an_issue_the_worst_first(checkup, issue, places):
    assert checkup.places(issue) == places


def test_every_array_has_a_value_a_photo(checkup):
    assert set(checkup.flags) == set(checkup.scores) == set(Issue) - set(UNUSABLE)
    for issue in checkup.flags:
        assert checkup.flags[issue].shape == checkup.scores[issue].shape == (8,)
        assert ((checkup.scores[issue] >= 0) & (checkup.scores[issue] <= 1)).all()
        assert (checkup.scores[issue][checkup.flags[issue]] < 1).all()


def test_the_liker_a_near_duplicate_the_lower_its_score(related):
    scores = related(near=(NearPair(2, 5, 0.97), NearPair(5, 6, 1.0))).scores[Issue.NEAR_DUPLICATE]
    assert scores[2] == pytest.approx(0.03)
    assert scores[5] == scores[6] == 0
    assert scores[3] == 1


def test_what_has_the_pixels_of_a_near_duplicate_is_one_too(related):
    found = related(exact=((0, 1),), near=(NearPair(1, 5, 0.98),))
    assert found.places(Issue.NEAR_DUPLICATE) == [0, 1, 5]


@pytest.mark.parametrize("likeness", [-0.2, 0.0, 1e-9, 0.5, 1.0])
def test_a_near_duplicate_is_flagged_however_unlike(related, likeness):
    found = related(near=(NearPair(2, 5, likeness),))
    assert found.places(Issue.NEAR_DUPLICATE) == [2, 5]


def test_the_twin_is_what_explains_a_photo_best(checkup):
    assert dict(checkup.twins) == {0: 1, 1: 0, 2: 0, 3: 4, 4: 3, 5: 3}


def test_a_photo_of_a_conflict_has_a_twin_under_another_label(checkup, related):
    twins = related(exact=((0, 1, 3, 4, 5),), near=(), conflicts=((0, 1, 3, 4, 5),), leaks=()).twins
    labels = [photo.label for photo in checkup.scanned.photos]
    assert set(twins) == {0, 1, 3, 4, 5}
    assert all(labels[place] != labels[twin] for place, twin in twins.items())


def test_no_usable_photo_at_all(checkup, table):
    none = np.array([], np.intp)
    nothing = replace(
        checkup,
        scanned=ScannedPhotos((), (), checkup.scanned.faulty),
        statistics=table([]),
        photo_issues=judge(table([]), [], []),
        relations=Relations((), (), none, none, (), (), ()),
    )
    assert sum(nothing.count(issue) for issue in Issue) == 4
    assert nothing.places(Issue.DARK) == []


NAMED = {"missing", "unreadable", "truncated", "unsupported", "wrong_extension"}


@pytest.mark.parametrize("kind", FaultKind)
def test_each_fault_is_an_issue(kind):
    issue = Faulty(LabeledPhoto(Path("a.jpg"), "hat"), PhotoFault(kind, "why")).issue
    assert issue is (Issue(kind) if kind in NAMED else Issue.UNREADABLE)


def test_photos_without_a_product_are_compared_and_of_no_class(tmp_path, tiles):
    """All hats are PNGs, all vases too; what is no product are BMPs."""
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
