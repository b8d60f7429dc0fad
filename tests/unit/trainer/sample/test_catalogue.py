import csv

from trainer.sample.catalogue import draw_catalogue
from trainer.sample.products import DEPARTMENTS


def bytes_by_name(out):
    return {path.relative_to(out): path.read_bytes() for path in out.glob("*/*")}


def test_a_photo_depends_on_the_seed_and_its_number_alone(drawn, tmp_path):
    draw_catalogue(tmp_path / "few", 16, seed=3)
    draw_catalogue(tmp_path / "other", 16, seed=4)
    few = {path: data for path, data in bytes_by_name(tmp_path / "few").items() if int(path.stem) < 16}
    many = bytes_by_name(drawn)
    assert few == {path: many[path] for path in few}
    assert not set(few.values()) & set(bytes_by_name(tmp_path / "other").values())


def test_the_table_has_the_truth_about_every_file(drawn):
    with (drawn.parent / "products.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"] for row in rows} == {str(path.relative_to(drawn.parent)) for path in drawn.glob("*/*")}
    assert all(row["category"] == row["image"].split("/")[1] for row in rows)
    assert {row["category"]: row["department"] for row in rows} == dict(DEPARTMENTS)
    assert len({row["colour"] for row in rows}) >= 10
    shown = {}
    for row in rows:
        truth = row["category"], row["colour"]
        assert shown.setdefault((drawn.parent / row["image"]).read_bytes(), truth) == truth, "of a copy as of its photo"
