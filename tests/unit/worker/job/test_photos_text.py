from worker.job.parts import NO_PHOTO_WORK, PhotoWork, photos_text


def test_a_night_is_told_in_a_line() -> None:
    assert photos_text(PhotoWork(carried=98_000, repeated=1_204, decoded=796)) == (
        "98,000 rows carried over from the previous result, 1,204 rows with photos labelled before; 796 photos decoded"
    )
    assert photos_text(PhotoWork(downloaded=1, unchanged=2, bytes=28_000_000, decoded=1)) == (
        "2 photos unchanged at their hosts, 1 photo downloaded (28.0 MB); 1 photo decoded"
    )


def test_where_every_photo_was_decoded_from_a_disk_nothing_is_said() -> None:
    assert photos_text(PhotoWork(decoded=100, decode_s=1.0)) == ""
    assert photos_text(NO_PHOTO_WORK) == ""
