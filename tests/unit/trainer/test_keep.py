import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainer.train import TRAIN_SAMPLE, keep_for_export


def arrays(path):
    with np.load(path, allow_pickle=False) as found:
        return found["pixels"], found["labels"]


def with_files(lesson, folder, suffix=".PNG"):
    """The lesson, with a file for each photo that is held back."""
    folder.mkdir()
    held = []
    for photo in lesson.held:
        path = folder / f"{photo.sha256}{suffix}"
        path.write_text(f"photo {photo.sha256}")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        lesson.store.pixels[sha256] = lesson.store.pixels[photo.sha256]
        held.append(replace(photo, path=path, sha256=sha256))
    return replace(lesson, held=held)


def test_pixels_are_kept_with_their_labels(make_lesson):
    lesson = make_lesson()
    keep_for_export(lesson)
    pixels, labels = arrays(lesson.run.path / "export" / "val.npz")
    assert np.array_equal(pixels, lesson.store.take([photo.sha256 for photo in lesson.held]))
    assert [lesson.args.classes[i] for i in labels] == [photo.label for photo in lesson.held]
    learned, labels = arrays(lesson.run.path / "export" / "train_sample.npz")
    assert {(photo.tobytes(), lesson.args.classes[i]) for photo, i in zip(learned, labels, strict=True)} == {
        (lesson.store.pixels[photo.sha256].tobytes(), photo.label) for photo in lesson.photos
    }


def test_a_large_training_split_leaves_a_sample(make_lesson):
    lesson = make_lesson(labels=(0, 1, 2) * 200)
    keep_for_export(lesson)
    pixels, labels = arrays(lesson.run.path / "export" / "train_sample.npz")
    assert len(pixels) == len(labels) == TRAIN_SAMPLE
    assert set(labels.tolist()) == {0, 1, 2}


def test_originals_are_the_files_as_they_were(make_lesson, tmp_path):
    lesson = with_files(make_lesson(), tmp_path / "photos")
    keep_for_export(lesson)
    kept = sorted(lesson.run.originals.iterdir())
    assert [path.name for path in kept] == [f"{i:03d}.png" for i in range(len(lesson.held))]
    assert [path.read_bytes() for path in kept] == [photo.path.read_bytes() for photo in lesson.held]


def test_a_file_that_was_replaced_is_no_original_of_its_label(make_lesson, tmp_path):
    lesson = with_files(make_lesson(), tmp_path / "photos")
    lesson.held[1].path.write_text("another photo")
    keep_for_export(lesson)
    names = sorted(path.name for path in lesson.run.originals.iterdir())
    assert names == [f"{i:03d}.png" for i in range(len(lesson.held)) if i != 1]


def test_originals_that_are_gone_stay_as_they_were_kept_before(make_lesson, tmp_path):
    lesson = with_files(make_lesson(), tmp_path / "photos")
    keep_for_export(lesson)
    for photo in lesson.held[1:]:
        photo.path.unlink()
    before = {path.name: path.read_bytes() for path in lesson.run.originals.iterdir()}
    keep_for_export(lesson)
    assert {path.name: path.read_bytes() for path in lesson.run.originals.iterdir()} == before


def test_photos_without_files_leave_no_originals(make_lesson):
    lesson = make_lesson()
    assert not any(Path(photo.path).exists() for photo in lesson.held)
    keep_for_export(lesson)
    assert list(lesson.run.originals.iterdir()) == []
