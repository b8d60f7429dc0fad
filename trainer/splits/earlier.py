"""Which photos an earlier training has seen already: they keep their splits."""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

from models.errors import DataError
from trainer.data.dataset import LabeledPhoto, Split
from trainer.splits.assigned import Applicant, AssignedPhoto

__all__ = ["match_earlier"]


class _Face(NamedTuple):
    """What a photo of today and one of an earlier training are compared by."""

    sha256: str
    path: str
    label: str
    split: Split | None


def match_earlier(
    photos: Sequence[LabeledPhoto], sha256s: Sequence[str], earlier: Sequence[AssignedPhoto]
) -> list[Applicant]:
    """Find each photo in an earlier training, by its content or else by its path.

    A photo with the content of an earlier one is that one, renamed perhaps; one at the path of an earlier one whose
    content is nowhere any more is that one, saved anew. Both keep split and group under today's label. Of several
    earlier ones with its content, and none at its path, a photo is one of those that least is learned from. A copy
    beside an earlier photo is new, and bound to it by its content alone.

    Args:
        photos: readable, of today.
        sha256s: of their files.
        earlier: of the earlier training; none where this is the first.

    Returns:
        The photos in their order, then the earlier ones that are not among them.

    Raises:
        DataError: the person has given an earlier photo another split.
    """
    faces = [_Face(s, str(p.path), p.label, p.split) for p, s in zip(photos, sha256s, strict=True)]
    matching = _Matching(faces, earlier)
    _check_unmoved(photos, [None if row is None else earlier[row] for row in matching.rows])
    applicants = []
    for photo, sha256, row in zip(photos, sha256s, matching.rows, strict=True):
        copied = matching.copied(sha256)
        if row is not None:
            known = _absent(earlier[row])
            product = photo.product or known.product
            found = replace(known, path=photo.path, label=photo.label, sha256=sha256, product=product, present=True)
        elif photo.split is None and copied is not None:  # a copy of photos in several splits
            found = Applicant(photo.path, photo.label, sha256, photo.product, copied.split, copied.group, fixed=True)
        else:
            found = Applicant(photo.path, photo.label, sha256, photo.product, photo.split, open=photo.open)
        applicants.append(found)
    matched = set(matching.rows)
    return [*applicants, *(_absent(row) for number, row in enumerate(earlier) if number not in matched)]


def _absent(row: AssignedPhoto) -> Applicant:
    known = Applicant(row.path, row.label, row.sha256, row.product, row.split, row.group)
    return replace(known, present=False, fixed=True, earlier_label=row.label)


class _Matching:
    """Each photo's row of the earlier training; a row belongs to one photo at most."""

    def __init__(self, faces: Sequence[_Face], earlier: Sequence[AssignedPhoto]) -> None:
        self.rows: list[int | None] = [None] * len(faces)
        order = sorted(range(len(earlier)), key=lambda row: (not earlier[row].present, -earlier[row].split.rank))
        self._photos = dict(enumerate(faces))
        self._rows = {row: _Face(p.sha256, str(p.path), p.label, p.split) for row in order for p in (earlier[row],)}
        self._copied: defaultdict[str, dict[Split, AssignedPhoto]] = defaultdict(dict)
        for photo in earlier:
            self._copied[photo.sha256].setdefault(photo.split, photo)
        self._match()

    def copied(self, sha256: str) -> AssignedPhoto | None:
        """The earlier photo with this content that least is learned from, where there are some in several splits."""
        rows = self._copied.get(sha256, {})
        return rows[max(rows, key=lambda split: split.rank)] if len(rows) > 1 else None

    def _match(self) -> None:
        self._claim(lambda face: face)
        self._claim(lambda face: (face.sha256, face.path, face.label))
        self._claim(lambda face: (face.sha256, face.path))
        self._claim(lambda face: (face.sha256, face.split))
        self._claim(lambda face: face.sha256, offered=self._is_least_learned_from)
        self._claim(lambda face: face.path, asking=lambda face: face.sha256 not in self._copied)

    def _is_least_learned_from(self, face: _Face) -> bool:
        splits = self._copied[face.sha256]
        return face.split == max(splits, key=lambda split: split.rank)

    def _claim(
        self,
        key: Callable[[_Face], Hashable],
        offered: Callable[[_Face], bool] = lambda face: True,
        asking: Callable[[_Face], bool] = lambda face: True,
    ) -> None:
        """Match what is left on both sides and has equal keys, in order."""
        rows: defaultdict[Hashable, deque[int]] = defaultdict(deque)
        for row, face in self._rows.items():
            if offered(face):
                rows[key(face)].append(row)
        for place, face in list(self._photos.items()):
            if asking(face) and (found := rows.get(key(face))):
                row = found.popleft()
                self.rows[place] = row
                del self._photos[place], self._rows[row]


def _check_unmoved(photos: Sequence[LabeledPhoto], rows: Sequence[AssignedPhoto | None]) -> None:
    given = {photo.split for photo in photos}
    moved = []
    for photo, row in zip(photos, rows, strict=True):
        if row is not None and photo.split not in {None, row.split}:
            is_cut = photo.split is Split.TRAIN and row.split not in given  # for want of a given one
            if not is_cut:
                moved.append((photo, row))
    if moved:
        photo, row = moved[0]
        others = f" (and {len(moved) - 1} others)" if len(moved) > 1 else ""
        msg = (
            f"Expected {photo.path}{others} in {row.split}, as in the earlier training, got {photo.split}; "
            f"give it {row.split} again, or train without the earlier splits."
        )
        raise DataError(msg)
