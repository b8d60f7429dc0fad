import io

import numpy as np
from PIL import Image

from trainer.report.pictures import first_batch
from trainer.request import Arch


def picture(jpeg):
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB"), int)


def test_it_shows_the_photos_of_the_first_batch(make_training):
    training = make_training(batch=4)
    shown = picture(first_batch(training))
    pixels, _ = next(training.batches().epoch(0, 16).as_numpy_iterator())
    assert shown.shape[1] > 4 * 160
    for photo in pixels:
        colour = photo.mean(axis=(0, 1))
        assert (np.abs(shown - colour).max(axis=2) < 40).mean() > 0.05


def test_it_is_the_same_for_the_same_seed_and_shows_what_augmentation_does(make_training):
    plain, changed = make_training(), make_training(arch=Arch.CNN)
    assert first_batch(changed) == first_batch(make_training(arch=Arch.CNN))
    assert first_batch(plain) != first_batch(changed)


def test_two_classes_and_more_classes_than_photos_in_a_batch_have_one(make_training):
    assert picture(first_batch(make_training(labels=(0, 1) * 4, held=(0, 1)))).size
    assert picture(first_batch(make_training(labels=(0, 1, 2, 3, 4), held=(0, 1), batch=2))).size
