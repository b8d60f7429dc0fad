import numpy as np
import pytest
from PIL import Image

from trainer.report.pictures import plot_confusion, plot_history
from trainer.run import EpochFigures


def drawn(path):
    """Whether a picture is there and more than one colour is in it."""
    with Image.open(path) as image:
        return image.format == "PNG" and np.ptp(np.asarray(image.convert("L"))) > 0


def shade(path):
    """Share of dark blue, the colour of a full cell."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), int)
    return ((pixels[..., 2] > 90) & (pixels[..., 0] < 40)).mean()


@pytest.mark.parametrize("epochs", [1, 5])
def test_a_history_of_any_length_is_drawn(tmp_path, epochs):
    rows = [EpochFigures(i, 2 / i, 0.5, 2.1 / i, 0.4, 1e-3) for i in range(1, epochs + 1)]
    plot_history(rows, tmp_path / "results.png")
    assert drawn(tmp_path / "results.png")


@pytest.mark.parametrize("classes", [2, 20, 25])
def test_a_confusion_matrix_of_any_size_is_drawn(tmp_path, classes):
    names = [f"class {i}" for i in range(classes)]
    plot_confusion(np.eye(classes, dtype=np.int64), names, "run: test", tmp_path / "matrix.png")
    assert drawn(tmp_path / "matrix.png")


def test_full_cells_are_darker_than_spread_ones(tmp_path):
    names = [str(i) for i in range(6)]
    plot_confusion(np.eye(6, dtype=np.int64), names, "", tmp_path / "right.png")
    plot_confusion(np.ones((6, 6), np.int64), names, "", tmp_path / "guessing.png")
    assert shade(tmp_path / "right.png") > 2 * shade(tmp_path / "guessing.png")


def test_a_class_without_photos_is_an_empty_row(tmp_path):
    plot_confusion(np.array([[3, 0], [0, 0]]), ["hat", "vase"], "run: test", tmp_path / "matrix.png")
    assert drawn(tmp_path / "matrix.png")


@pytest.mark.parametrize("name", ["$10_to_$20", "50% off", "a_b^c", r"c:\hats", "béret", "帽子"])
def test_a_class_may_have_any_name(tmp_path, name):
    plot_confusion(np.eye(2, dtype=np.int64), [name, "vase"], f"{name}: test", tmp_path / "matrix.png")
    assert drawn(tmp_path / "matrix.png")
