import hashlib

from trainer.data.dataset import LabeledPhoto
from trainer.data.photo_files import FaultKind, hash_photos


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
    assert [(photo, fault.kind) for photo, fault in unread] == [
        (photo, FaultKind.MISSING),
        (folder, FaultKind.UNREADABLE),
    ]


def test_a_file_that_has_other_bytes_than_were_labelled_is_apart(tmp_path):
    labelled = hashlib.sha256(b"as labelled").hexdigest()
    same, other = (LabeledPhoto(tmp_path / name, "hat", sha256=labelled) for name in ("same.jpg", "other.jpg"))
    same.path.write_bytes(b"as labelled")
    other.path.write_bytes(b"another photo")
    hashed, unread = hash_photos([other, same])
    assert hashed == [(same, labelled)]
    assert [(photo, fault.kind) for photo, fault in unread] == [(other, FaultKind.CHANGED)]
    assert f"Expected {other.path} as it was when its SHA-256 was noted" in unread[0][1].message
