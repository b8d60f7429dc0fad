from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from trainer.check.relations import Leak, LeakKind, relate
from trainer.data.dataset import LabeledPhoto, Split

TRAIN, VAL, TEST = Split


@dataclass
class Store:
    """A StatisticsStore of pictures named by letters; a primed letter is the same picture saved again."""

    pictures: list

    def statistics(self, sha256s):
        return pa.table({"pixels": [self.pictures[int(sha256)] for sha256 in sha256s]})

    def copies(self, sha256s):
        drawn = [self.picture(self.pictures[int(sha256)]) for sha256 in sha256s]
        return np.array(drawn, np.uint8).reshape(-1, 64, 64, 3)

    @staticmethod
    def picture(name):
        coarse = np.random.default_rng(ord(name[0])).integers(0, 256, (8, 8, 3))
        blocks = coarse.repeat(8, axis=0).repeat(8, axis=1)
        return (blocks + np.random.default_rng(len(name)).integers(0, 3, blocks.shape)).clip(0, 255).astype(np.uint8)


def related(pictures, labels=None, splits=None, products=None):
    labels = labels or ["hat"] * len(pictures)
    splits, products = splits or [None] * len(pictures), products or [None] * len(pictures)
    photos = [
        LabeledPhoto(Path(f"{i}.jpg"), label, split, product)
        for i, (label, split, product) in enumerate(zip(labels, splits, products, strict=True))
    ]
    return relate(photos, [str(i) for i in range(len(photos))], Store(pictures), lambda done, total: None)


def test_the_same_pixels_are_exact_duplicates_and_the_same_picture_a_near_one():
    found = related(["a", "b", "a", "b'", "c"])
    assert found.exact == ((0, 2),)
    assert [(pair.first, pair.second) for pair in found.near] == [(1, 3)]
    assert found.pictures.tolist() == found.families.tolist() == [0, 1, 0, 1, 2]
    assert (found.conflicts, found.placeholders, found.leaks) == ((), (), ())


def test_one_picture_under_two_labels_is_a_conflict_exact_or_near():
    found = related(["a", "a", "b", "b'", "c"], ["hat", "vase", "hat", "lamp", "hat"])
    assert found.conflicts == ((0, 1), (2, 3))
    found = related(["a"] * 9, ["vase", *["hat"] * 8])
    assert (found.placeholders, found.conflicts) == ((), (tuple(range(9)),)), "one more would be a placeholder"


def test_ten_rows_of_one_picture_under_two_labels_stand_for_a_missing_photo():
    found = related([*["a"] * 9, "a'", "b"], ["vase", *["hat"] * 10])
    assert found.placeholders == (tuple(range(10)),)
    assert (found.exact, found.near, found.conflicts) == ((), (), ())


def test_under_one_label_it_takes_twenty_and_they_may_leak():
    assert related(["a"] * 19).placeholders == ()
    found = related(["a"] * 20, splits=[TRAIN] * 19 + [TEST])
    assert found.placeholders == (tuple(range(20)),)
    assert (found.exact, found.leaks) == ((), (Leak(19, 0, LeakKind.EXACT),))


def test_placeholders_are_no_leaks_and_no_family():
    found = related(["a"] * 10, ["hat", "vase"] * 5, [TRAIN, TEST] * 5)
    assert found.leaks == ()
    assert found.families.tolist() == list(range(10))
    assert found.pictures.tolist() == [0] * 10


def test_a_leak_names_the_most_learned_split_and_the_closest_twin():
    found = related(["a", "a'", "a"], splits=[TEST, TRAIN, VAL])
    assert found.leaks == (Leak(0, 2, LeakKind.EXACT), Leak(2, 1, LeakKind.NEAR))


def test_photos_of_one_product_leak_though_their_pictures_differ():
    found = related(["a", "b", "c"], splits=[TRAIN, TEST, TEST], products=["sku1", "sku1", None])
    assert found.leaks == (Leak(1, 0, LeakKind.PRODUCT),)
    assert found.families.tolist() == [0, 0, 1]
    assert found.pictures.tolist() == [0, 1, 2]
    assert related(["a", "a"], splits=[TRAIN, TRAIN]).leaks == ()
    assert related(["a", "a"]).leaks == ()
