import itertools
import sys

import pytest
from matplotlib.text import Text

from models.benchmark.plot import check_matplotlib, draw_record, plot_record, points_of
from models.errors import InputError, MissingExtraError
from tests.unit.models.benchmark.test_record import RECORD


def record_of(*rows):
    """Of (variant, images/s, accuracy)."""
    (measured,), (judged,) = RECORD.measured, RECORD.judging.files
    (speed,) = measured.speeds
    return RECORD.model_copy(
        update={
            "measured": tuple(
                measured.model_copy(
                    update={
                        "variant": name,
                        "file": name,
                        "speeds": (speed.model_copy(update={"images_per_s": rate}),),
                    }
                )
                for name, rate, _ in rows
            ),
            "judging": RECORD.judging.model_copy(
                update={
                    "files": tuple(
                        judged.model_copy(update={"variant": name, "file": name, "accuracy": right})
                        for name, _, right in rows
                    )
                }
            ),
        }
    )


def test_a_point_is_a_file_that_takes_batches_and_whose_accuracy_is_known():
    record = record_of(("float32", 500.0, 0.9), ("edge", None, 0.9), ("float16", 400.0, None))
    assert [(p.variant, p.images_per_s, p.accuracy) for p in points_of(record)] == [("float32", 500.0, 0.9)]


@pytest.mark.parametrize(
    "rows",
    [
        [("float32", 528.0, 0.868), ("int8", 1439.0, 0.866), ("float16", 515.0, 0.868)],
        [("float32", 528.0, 0.868), ("int8", 530.0, 0.868), ("float16", 529.0, 0.868)],
        [("float32", 10.0, 1.0)],
    ],
)
def test_names_are_inside_the_picture_and_cover_nothing(rows):
    figure = draw_record(record_of(*rows))
    (axes,) = figure.axes
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert sorted(text.get_text().split("\n")[0] for text in axes.texts) == sorted(name for name, *_ in rows)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert not any(box.contains(*axes.transData.transform(row[1:])) for box in boxes for row in rows)
    whole = figure.bbox
    assert all(whole.contains(box.x0, box.y0) and whole.contains(box.x1, box.y1) for box in boxes)


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
