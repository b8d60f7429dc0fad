import shutil

import pytest

from models.benchmark.benchmark import benchmark, open_and_find
from models.benchmark.judge import find_photos
from models.classifier import load
from models.errors import InputError
from tests.unit.models.benchmark.colours import LABELS, QUICK


def judged(path, images=None):
    return benchmark(*open_and_find(path, images), QUICK).judging


def test_every_file_has_its_row_in_measured_and_judged_alike(make_bundle, photos):
    record = benchmark(*open_and_find(make_bundle(), photos), QUICK)
    files = ["model.onnx", "model.int8.onnx", "edge.onnx", "edge.int8.onnx"]
    assert [row.file for row in record.measured] == [row.file for row in record.judging.files] == files
    assert (record.name, record.version) == ("colours", "20260101T000000Z")


def test_accuracy_is_what_labelling_gives(make_bundle, photos):
    bundle = make_bundle()
    judging = judged(bundle, photos)
    paths = sorted(photos.rglob("*.png"))
    for row in judging.files[:2]:
        said = [load(bundle, row.variant).classify(path).label for path in paths]
        right = sum(label == path.parent.name for label, path in zip(said, paths, strict=True))
        assert row.accuracy == right / len(paths)
    assert [row.accuracy for row in judging.files] == pytest.approx([1, 2 / 3, 1, 2 / 3])
    assert judging.accuracy_on == judging.agreement_on == "images"


def test_agreement_is_with_float32_s_file_for_squares(make_bundle, photos):
    assert [row.agreement for row in judged(make_bundle(), photos).files] == pytest.approx([1, 2 / 3, 1, 2 / 3])


def test_a_flat_folder_tells_agreement_alone(make_bundle, photos):
    judging = judged(make_bundle(), photos / "green")
    assert judging.accuracy_on is None
    assert [(row.accuracy, row.agreement) for row in judging.files] == [(None, 1), (None, 0.5), (None, 1), (None, 0.5)]


def test_unreadable_photos_are_passed_over_and_counted(make_bundle, photos):
    bundle = make_bundle()
    (photos / "green" / "near.png").write_bytes(b"<html>")
    judging = judged(bundle, photos)
    assert (judging.photos, judging.unreadable) == (5, 1)
    assert judging.files[1].accuracy == pytest.approx(4 / 5)


def test_photos_none_of_which_can_be_read_are_refused(make_bundle, photos):
    for path in photos.rglob("*.png"):
        path.write_bytes(b"<html>")
    with pytest.raises(InputError, match="none of 6 could be read"):
        judged(make_bundle(), photos)


def test_without_photos_the_golden_ones_tell_agreement_and_the_manifest_accuracy(make_bundle):
    judging = judged(make_bundle(accuracy=0.75))
    assert (judging.photos, judging.agreement_on, judging.accuracy_on) == (3, "golden", "validation")
    assert [row.accuracy for row in judging.files] == [0.75, 0.75, None, None]
    assert [row.agreement for row in judging.files] == [1.0] * 4


def test_a_lone_file_is_one_row(make_bundle, photos):
    bundle = make_bundle()
    assert judged(bundle / "model.onnx") is None
    (row,) = judged(bundle / "model.onnx", photos).files
    assert (row.accuracy, row.agreement) == (1.0, 1.0)


@pytest.mark.parametrize("file", ["model.int8.onnx", "edge.onnx"])
def test_a_lone_file_that_is_not_float32_s_has_nothing_to_agree_with(make_bundle, photos, file):
    judging = judged(make_bundle() / file, photos)
    assert judging.files[0].agreement is judging.agreement_on is None
    assert judging.files[0].accuracy == pytest.approx(2 / 3 if "int8" in file else 1)


def test_it_is_told_how_far_it_has_come(make_bundle, photos):
    told = []
    lineup, found = open_and_find(make_bundle(edges=False), photos)
    benchmark(lineup, found, QUICK, lambda *so_far: told.append(so_far))
    looked = [("Looking at photos", n, 6) for n in range(1, 7)]
    assert told == [*looked, ("Measuring", 1, 2), ("Measuring", 2, 2)]


def test_a_folder_s_name_is_its_photos_label(photos):
    (photos / "green" / "notes.txt").write_text("no photo")
    (photos / ".thumbnails").mkdir()
    found = find_photos(photos, LABELS)
    assert [LABELS[truth] for truth in found.truths] == [read.args[0].parent.name for read in found.reads]
    assert len(found.reads) == 6


def test_folders_of_some_labels_will_do(photos):
    assert set(find_photos(photos, (*LABELS, "black")).truths) == {0, 1, 2}


def test_a_flat_folder_tells_no_labels(photos):
    found = find_photos(photos / "red", LABELS)
    assert [read.args[0].name for read in found.reads] == ["near.png", "sure.png"]
    assert found.truths is None


def test_of_many_photos_some_of_every_class_are_taken(photos):
    found = find_photos(photos, LABELS, limit=3)
    assert sorted(found.truths) == [0, 1, 2]


def test_another_folder_is_refused_with_the_labels(photos):
    (photos / "black").mkdir()
    with pytest.raises(InputError, match=r"labels \(red, green, blue\), but found black as well"):
        find_photos(photos, LABELS)


def test_of_many_labels_some_are_named(photos):
    with pytest.raises(InputError, match=r"class 0, .*class 19 and 980 more\), but found blue, green, red as well"):
        find_photos(photos, tuple(f"class {number}" for number in range(1000)))


def test_photos_beside_class_folders_are_refused(photos):
    (photos / "red" / "sure.png").rename(photos / "stray.png")
    with pytest.raises(InputError, match=r"found both; put stray\.png"):
        find_photos(photos, LABELS)


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_no_photos_are_refused(tmp_path, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="photos"):
        find_photos(tmp_path / place, LABELS)


def test_photos_without_a_product_judge_no_label(photos):
    before = find_photos(photos, LABELS)
    shutil.copytree(photos / "red", photos / "_none")
    assert find_photos(photos, LABELS).truths == before.truths
    assert len(find_photos(photos, (*LABELS, "_none")).truths) > len(before.truths)
