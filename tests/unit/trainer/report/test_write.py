import hashlib
from dataclasses import replace

import numpy as np

from tests.unit.trainer.run_files import arrays
from trainer.report.write import keep_for_export
from trainer.splits.assigned import group_numbers


def with_files(training, folder, suffix=".PNG"):
    folder.mkdir()
    held = []
    for photo in training.held:
        path = folder / f"{photo.sha256}{suffix}"
        path.write_text(f"photo {photo.sha256}")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        training.store.pixels[sha256] = training.store.pixels[photo.sha256]
        held.append(replace(photo, path=path, sha256=sha256))
    return replace(training, held=held)


def test_pixels_are_kept_with_their_labels(make_training):
    training = make_training()
    keep_for_export(training)
    pixels, labels = arrays(training.run.path / "export" / "val.npz")
    assert np.array_equal(pixels, training.store.take([photo.sha256 for photo in training.held]))
    assert [training.args.classes[i] for i in labels] == [photo.label for photo in training.held]
    with np.load(training.run.path / "export" / "val.npz") as kept:
        assert kept["groups"].tolist() == group_numbers(training.held).tolist()
    learned, labels = arrays(training.run.path / "export" / "train_sample.npz")
    assert {(photo.tobytes(), training.args.classes[i]) for photo, i in zip(learned, labels, strict=True)} == {
        (training.store.pixels[photo.sha256].tobytes(), photo.label) for photo in training.photos
    }


def test_a_file_that_was_replaced_is_no_original_of_its_label(make_training, tmp_path):
    training = with_files(make_training(), tmp_path / "photos")
    training.held[1].path.write_text("another photo")
    keep_for_export(training)
    names = sorted(path.name for path in training.run.originals.iterdir())
    assert names == [f"{i:03d}.png" for i in range(len(training.held)) if i != 1]
