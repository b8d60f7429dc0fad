import hashlib
from pathlib import Path

import pytest

from models.errors import ImageError, ImageFault
from trainer.data.dataset import LabeledPhoto
from trainer.data.hashing import file_sha256, hash_photos


def test_photos_come_back_in_order_with_the_digest_of_their_bytes(tmp_path):
    photos = [LabeledPhoto(tmp_path / f"{i}.jpg", "hat") for i in range(40)]
    for i, photo in enumerate(photos):
        photo.path.write_bytes(b"%d" % i)
    hashed, unread = hash_photos(photos)
    assert hashed == [(photo, hashlib.sha256(b"%d" % i).hexdigest()) for i, photo in enumerate(photos)]
    assert unread == []


def test_what_cannot_be_read_is_apart_with_the_reason(tmp_path):
    photo, folder = LabeledPhoto(tmp_path / "gone.jpg", "hat"), LabeledPhoto(tmp_path, "vase")
    hashed, unread = hash_photos([photo, folder])
    assert hashed == []
    assert [(photo, error.fault) for photo, error in unread] == [
        (photo, ImageFault.MISSING),
        (folder, ImageFault.UNREADABLE),
    ]


def test_progress_reaches_the_number_of_photos(tmp_path):
    told = []
    hash_photos(
        [LabeledPhoto(tmp_path / str(i), "hat") for i in range(3)], lambda done, total: told.append((done, total))
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_missing_file_has_no_digest():
    with pytest.raises(ImageError, match="found nothing"):
        file_sha256(Path("/nowhere/photo.jpg"))
