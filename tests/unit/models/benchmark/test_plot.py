import sys

import pytest

from models.benchmark.plot import check_matplotlib, draw_record, plot_record
from models.errors import InputError, MissingExtraError
from tests.unit.models.benchmark.test_record import RECORD


def record_of(*rows):
    """Of (variant, images/s, accuracy)."""
    (measured,), (judged,) = RECORD.measured, RECORD.judging.files
    speeds = [(measured.speeds[0].model_copy(update={"images_per_s": rate}),) for _, rate, _ in rows]
    names = [{"variant": name, "file": name} for name, _, _ in rows]
    found = [measured.model_copy(update={**of, "speeds": speed}) for of, speed in zip(names, speeds, strict=True)]
    files = [judged.model_copy(update={**of, "accuracy": right}) for of, (*_, right) in zip(names, rows, strict=True)]
    judging = RECORD.judging.model_copy(update={"files": tuple(files)})
    return RECORD.model_copy(update={"measured": tuple(found), "judging": judging})


def test_a_point_is_a_file_that_takes_batches_and_whose_accuracy_is_known():
    (axes,) = draw_record(record_of(("float32", 500.0, 0.9), ("edge", None, 0.9), ("float16", 400.0, None))).axes
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[500.0, 0.9]]]


def test_the_legend_has_each_points_figures_and_covers_no_point():
    figure = draw_record(record_of(("float32", 528.0, 0.868), ("int8", 530.0, 0.868)))
    (axes,), (legend,) = figure.axes, figure.legends
    figure.draw_without_rendering()
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["float32: 86.8%, 528 images/s, 0.0 MB", "int8: 86.8%, 530 images/s, 0.0 MB"]
    assert not axes.get_window_extent().overlaps(legend.get_window_extent())


def test_axes_have_units_and_the_title_names_machine_and_model(tmp_path):
    (axes,) = draw_record(record_of(("float32", 528.0, 0.868))).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "images/s, one thread, batches of 32",
        "accuracy on validation photos, at export",
    )
    assert axes.get_title() == "shop 20260101T000000Z\nA, onnxruntime 1\navx2"


def test_the_picture_is_a_png_and_a_dollar_begins_no_formula(tmp_path):
    plot_record(record_of(("$x", 528.0, 0.868)).model_copy(update={"name": "$9.99"}), tmp_path / "speed")
    assert (tmp_path / "speed").read_bytes().startswith(b"\x89PNG")


def test_without_accuracy_there_is_nothing_to_draw():
    with pytest.raises(InputError, match="--images"):
        draw_record(record_of(("float32", 528.0, None)))


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hangtag\[train\]'"):
        check_matplotlib()
