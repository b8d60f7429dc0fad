import hashlib

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from models.reference_answers import ReferenceAnswers
from worker.tally import DistinctPhotos

LABELS = ("boots", "hats", "shoes")


def results(photos: list[int | None]) -> pa.Table:
    """Rows of photos that are numbered; none is a row that failed."""
    return pa.table(
        {
            "sha256": pa.array([_digest(p) for p in photos], pa.string()),
            "label": pa.array([None if p is None else LABELS[p % 3] for p in photos], pa.string()),
            "confidence": pa.array([None if p is None else p % 10 / 10 for p in photos], pa.float32()),
        }
    )


def _digest(photo: int | None) -> str | None:
    return None if photo is None else hashlib.sha256(str(photo).encode()).hexdigest()


def said(most: int, *chunks: list[int | None]) -> ReferenceAnswers:
    photos = DistinctPhotos(most)
    for chunk in chunks:
        photos.add(results(chunk))
    return photos.answers()


def test_a_photo_counts_once_and_a_row_that_failed_does_not() -> None:
    answers = said(100, [1, 1, 2, None], [1, None, 3], [])
    assert answers.by_label == {"boots": 1, "hats": 1, "shoes": 1}
    assert sum(answers.confidence_histogram) == answers.photos == 3


def test_without_a_photo_there_is_nothing() -> None:
    assert said(10).photos == said(10, [None, None]).photos == 0


@given(st.lists(st.integers(0, 60), max_size=200), st.data())
def test_neither_chunks_nor_their_order_change_which_photos_are_kept(photos: list[int], data: st.DataObject) -> None:
    mixed = data.draw(st.permutations(photos))
    cut = data.draw(st.integers(0, len(mixed)))
    whole = said(8, photos)
    assert said(8, mixed[:cut], mixed[cut:]) == whole
    assert whole.photos == min(8, len(set(photos)))


def test_of_many_photos_so_many_are_kept_and_they_are_like_all() -> None:
    photos = DistinctPhotos(3_000)
    for start in range(0, 60_000, 500):
        photos.add(results(list(range(start, start + 500))))
    answers = photos.answers()
    assert answers.photos == 3_000
    assert all(900 < count < 1_100 for count in answers.by_label.values())
