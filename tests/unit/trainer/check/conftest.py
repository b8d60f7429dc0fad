"""Fixtures for the tests of a check: photos as bytes, and a made-up checkup with every kind of fault."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from trainer.check.checkup import Checkup, Faulty, Issue, ScannedPhotos, judge
from trainer.check.near import NearPair
from trainer.check.relations import Leak, LeakKind, Relations
from trainer.check.shortcuts import Guess
from trainer.data.dataset import Dataset, Exclusion, LabeledPhoto, Split
from trainer.data.photo_files import FaultKind, ImageStatistics, PhotoFault

ORDINARY = ImageStatistics(
    *("JPEG", "RGB", 400, 300, 20_000, 1),  # up to the orientation
    *(False,) * 4,  # exif, animated, transparent, grey
    *(0.2, 0.9, 7.5, 60.0, 50.0, 20),  # from the brightness to the steepest step
    *(250.0, 249.5, 248.0, "00"),
)


@pytest.fixture(scope="session")
def ordinary():
    """Statistics of a photo without issues."""
    return ORDINARY


@pytest.fixture(scope="session")
def table():
    """Statistics in the form of a store."""

    def of(looks):
        return pa.Table.from_pylist([asdict(one) for one in looks], pa.Table.from_pylist([asdict(ORDINARY)]).schema)

    return of


def photo(name, split=None, product=None):
    return LabeledPhoto(Path("/shop", name), name.split("/")[0], split, product)


PHOTOS = (
    photo("hat/0.jpg", Split.TRAIN, "H1"),
    photo("hat/1.jpg", Split.TEST),
    photo("hat/2.jpg", Split.VAL),
    photo("shoe/3.jpg", Split.TRAIN),
    photo("hat/4.jpg", Split.TRAIN),
    photo("shoe/5.jpg", Split.TEST),
    photo("shoe/6.jpg", Split.TRAIN),
    photo("shoe/7.png"),
)
FAULTY = (
    Faulty(photo("hat/cut.jpg", Split.TRAIN), PhotoFault(FaultKind.TRUNCATED, "The file ends too early; fetch it.")),
    Faulty(photo("hat/gone.jpg"), PhotoFault(FaultKind.MISSING, "Nothing is there.")),
    Faulty(photo("shoe/page.jpg"), PhotoFault(FaultKind.UNSUPPORTED, "It is a web page.")),
    Faulty(photo("shoe/x.txt"), PhotoFault(FaultKind.WRONG_EXTENSION, "The content is JPEG; rename the file.")),
)

WIDTH = Guess("width", 0.93, 0.58, True, ("hat", "shoe"), 0.93, 0.58, classes=2)


@pytest.fixture
def checkup(table):
    """Eight photos: 0 and 1 have the same pixels, 2 nearly these, 3 and 4 too but two labels, 6 and 7 are placeholders.

    7 is dark, its name says PNG, and it has no split; most shoes are light.
    """
    looks = table([*[replace(ORDINARY, pixels=f"{place}") for place in range(7)], replace(ORDINARY, brightness_99=0.1)])
    return Checkup(
        dataset=Dataset(Path("/shop"), PHOTOS, (), ("hat", "scarf", "shoe")),
        scanned=ScannedPhotos(PHOTOS, tuple(f"sha{place}" for place in range(8)), FAULTY),
        ignored=(Exclusion(Path("/shop/hat/notes.txt"), "not_an_image", "The file has no image extension"),),
        statistics=looks,
        photo_issues=replace(
            judge(looks, [one.path for one in PHOTOS], [one.label for one in PHOTOS]),
            properties={"shoe": {Issue.LIGHT: 0.625}},
        ),
        relations=Relations(
            exact=((0, 1), (3, 4)),
            near=(NearPair(0, 2, 0.97), NearPair(1, 2, 1.0)),
            pictures=np.array([0, 0, 0, 1, 1, 2, 3, 3]),
            families=np.array([0, 0, 0, 1, 1, 2, 3, 4]),
            placeholders=((6, 7),),
            conflicts=((3, 4),),
            leaks=(Leak(1, 0, LeakKind.EXACT), Leak(2, 0, LeakKind.NEAR), Leak(5, 3, LeakKind.PRODUCT)),
        ),
        guesses=(WIDTH, replace(WIDTH, feature="EXIF", accuracy=0.6, pair_accuracy=0.6, is_shortcut=False)),
    )
