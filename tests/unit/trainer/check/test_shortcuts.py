from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from trainer.check.shortcuts import TOGETHER, guess_from_accidents

ROWS = 400


def looks(**changed):
    """Photos with random statistics, except the given columns."""
    rng = np.random.default_rng(0)
    columns = {
        "format": np.array(["JPEG"] * ROWS),
        "mode": np.array(["RGB"] * ROWS),
        "width": rng.integers(300, 900, ROWS),
        "height": rng.integers(300, 900, ROWS),
        "bytes": rng.integers(10_000, 90_000, ROWS),
        "orientation": np.ones(ROWS, int),
        "exif": rng.random(ROWS) < 0.5,
        "border_red": rng.uniform(0, 255, ROWS),
        "border_green": rng.uniform(0, 255, ROWS),
        "border_blue": rng.uniform(0, 255, ROWS),
    }
    return pa.table(columns | changed)


def guesses(table, labels, paths=None, groups=None):
    paths = paths or [Path(f"{row}.jpg") for row in range(ROWS)]
    found = guess_from_accidents(table, paths, labels, np.arange(ROWS) if groups is None else groups)
    return {guess.feature: guess for guess in found}


def labels_of(*names):
    return [names[row % len(names)] for row in range(ROWS)]


def test_accidents_that_say_nothing_are_no_shortcut():
    found = guesses(looks(), labels_of("hat", "lamp", "vase"))
    assert found
    assert not any(guess.is_shortcut for guess in found.values())


ODD = np.arange(ROWS) % 2


@pytest.mark.parametrize(
    ("feature", "columns"),
    [
        ("width", {"width": np.where(ODD, 800, 400) + np.arange(ROWS) % 7}),
        ("file size", {"bytes": np.where(ODD, 50_000, 20_000) + np.arange(ROWS)}),
        ("file format", {"format": np.where(ODD, "PNG", "JPEG")}),
        ("pixel format", {"mode": np.where(ODD, "RGBA", "RGB")}),
        ("EXIF", {"exif": ODD == 1}),
        ("border colour", {"border_blue": np.where(ODD, 250.0, 200.0)}),
    ],
)
def test_a_shortcut_is_found_alone_and_in_combination(feature, columns):
    found = guesses(looks(**columns), labels_of("hat", "vase"))
    assert found[feature].is_shortcut
    assert found[feature].accuracy == 1
    told = "distinguishes hat from vase in 100% (by chance: 50%): the network may learn this instead of the product"
    assert found[feature].sentence() == f"{feature} alone {told}"
    assert found[TOGETHER].is_shortcut
    assert found[TOGETHER].sentence().startswith(f"{TOGETHER} distinguishes hat from vase")


MANY = [f"c{number:02}" for number in range(81)]


def test_no_pair_of_eighty_one_classes_without_shortcuts_is_named():
    rng, rows = np.random.default_rng(4), 81 * 12
    drawn = {
        "format": rng.choice(["JPEG", "PNG"], rows),
        "mode": rng.choice(["RGB", "RGBA"], rows),
        **{side: rng.integers(300, 900, rows) for side in ("width", "height")},
        "bytes": rng.integers(10_000, 90_000, rows),
        "exif": rng.random(rows) < 0.5,
        **{f"border_{colour}": rng.uniform(0, 255, rows) for colour in ("red", "green", "blue")},
    }
    assert not any(guess.is_shortcut or guess.pair_stands_out for guess in many(**drawn).values())


def many(**changed):
    """Eighty-one classes of a dozen photos; they differ only in their products' colour, texture and shape."""
    rng, kinds = np.random.default_rng(5), np.arange(81 * 12) % 81
    own = rng.uniform(0, 255, (81, 3))[kinds] + rng.normal(0, 15, (len(kinds), 3))
    columns = {
        "format": np.array(["JPEG"] * len(kinds)),
        "mode": np.array(["RGB"] * len(kinds)),
        "width": np.full(len(kinds), 800),
        "height": np.full(len(kinds), 800),
        "bytes": (rng.uniform(2e4, 9e4, 81)[kinds] * rng.uniform(0.9, 1.1, len(kinds))).astype(int),
        "orientation": np.ones(len(kinds), int),
        "exif": np.zeros(len(kinds), bool),
        **{f"border_{colour}": own[:, band] for band, colour in enumerate(("red", "green", "blue"))},
    }
    paths = [Path(f"{row}.jpg") for row in range(len(kinds))]
    found = guess_from_accidents(pa.table(columns | changed), paths, MANY * 12, np.arange(len(kinds)))
    return {guess.feature: guess for guess in found}


def test_no_pair_is_named_of_products_that_differ_in_colour():
    found = many()["border colour"]
    assert found.pair_accuracy > 0.9
    assert not found.pair_stands_out
    assert " from " not in found.sentence()


def test_the_one_class_of_eighty_one_with_a_shortcut_is_named():
    found = many(format=np.where(np.arange(81 * 12) % 81 == 17, "PNG", "JPEG"))["file format"]
    assert found.is_shortcut
    assert found.sentence().startswith("file format alone distinguishes ")
    assert "c17" in found.pair
    assert " in 100% (by chance: 50%): " in found.sentence()


def test_neither_the_order_of_photos_nor_the_names_of_groups_change_a_verdict():
    """Check and training list the same photos in different orders."""
    rng = np.random.default_rng(1)
    table, labels, groups = looks(), labels_of("hat", "lamp", "vase"), np.arange(ROWS) // 2
    paths = [Path(f"{row}.jpg") for row in range(ROWS)]
    order, names = rng.permutation(ROWS), rng.permutation(ROWS)
    moved = guess_from_accidents(
        table.take(order), [paths[p] for p in order], [labels[p] for p in order], names[groups][order]
    )
    assert moved == guess_from_accidents(table, paths, labels, groups)


def test_copies_of_one_picture_do_not_prove_a_shortcut():
    """Each class has twenty copies of one picture: its size tells the class of copies only, not of new pictures."""
    groups = np.arange(ROWS) // 20
    rng = np.random.default_rng(2)
    width = rng.permutation(np.arange(20) * 10 + 300)[groups]
    labels = [("hat", "vase")[group % 2] for group in groups]
    flat = looks(width=width, height=width, bytes=width, **{f"border_{c}": width for c in ("red", "green", "blue")})
    assert not guesses(flat, labels, groups=groups)["width"].is_shortcut


def test_too_few_photos_or_one_class_say_nothing():
    assert guess_from_accidents(looks().slice(0, 20), [Path("a.jpg")] * 20, ["a", "b"] * 10, np.arange(20)) == []
    assert guess_from_accidents(looks().slice(0, 0), [], [], np.array([], np.intp)) == []
    assert guesses(looks(), ["hat"] * ROWS) == {}
