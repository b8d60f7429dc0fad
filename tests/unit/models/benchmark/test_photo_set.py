import pytest

from models.benchmark.judge import find_photos
from models.errors import InputError
from tests.unit.models.benchmark.colours import LABELS


def test_a_folder_s_name_is_its_photos_label(photos):
    (photos / "green" / "notes.txt").write_text("no photo")
    (photos / ".thumbnails").mkdir()
    found = find_photos(photos, LABELS)
    assert [LABELS[truth] for truth in found.truths] == [path.parent.name for path in found.paths]
    assert len(found.paths) == 6


def test_folders_of_some_labels_will_do(photos):
    assert set(find_photos(photos, (*LABELS, "black")).truths) == {0, 1, 2}


def test_a_flat_folder_tells_no_labels(photos):
    found = find_photos(photos / "red", LABELS)
    assert [path.name for path in found.paths] == ["near.png", "sure.png"]
    assert found.truths is None


def test_of_many_photos_some_of_every_class_are_taken(photos):
    found = find_photos(photos, LABELS, limit=3)
    assert sorted(found.truths) == [0, 1, 2]


def test_another_folder_is_refused_with_the_labels(photos):
    (photos / "black").mkdir()
    with pytest.raises(InputError, match=r"labels are \(red, green, blue\), found black besides"):
        find_photos(photos, LABELS)


def test_of_many_labels_some_are_named(photos):
    with pytest.raises(InputError, match=r"class 0, .*class 19 and 980 more\), found blue, green, red besides"):
        find_photos(photos, tuple(f"class {number}" for number in range(1000)))


def test_photos_beside_class_folders_are_refused(photos):
    (photos / "red" / "sure.png").rename(photos / "stray.png")
    with pytest.raises(InputError, match=r"found both \(stray\.png\)"):
        find_photos(photos, LABELS)


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_no_photos_are_refused(tmp_path, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="photos"):
        find_photos(tmp_path / place, LABELS)
