"""Sends rows to review if the whole job has repeated pictures or a different mix of classes.

If many rows have one picture, it is probably a host's placeholder for missing photos. If the mix of classes differs
from the proof photos, the precision may be lower than promised (:class:`models.drift.LabelShift`): then the rows with
the lowest confidence go to review.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalogue.readers import read_delimited
from catalogue.urls import readable
from models.decision import ReviewReason
from models.drift import LabelShift
from worker.job.job import Job, images_at, scratch_folder, shown_cell
from worker.job.model import ModelNote, read_note
from worker.job.parts import Status, with_leaves
from worker.job.receipt import REVIEW_FILE, ClassMix, RepeatedPicture, finished_receipt
from worker.results.products import product_names, to_review

_MOST_BUCKETS: Final = 2**22
"""Maximum number of hash buckets (32 MB). Rows are counted by bucket, and in large buckets also by picture."""
_BUCKETS_A_ROW: Final = 16
_FEWEST, _MANY_ROWS = 5, 10
_SHARE: Final = 100
"""A picture is repeated if it has at least this many rows: 1% of all rows, but at least 5 and at most 10."""
_USUAL: Final = 0.95
_ABOVE_USUAL: Final = 2
"""A repeated picture has at least twice the 95th percentile of rows per picture. Sizes of a product share a picture."""
_MORE_THAN_SIZES: Final = 50
_ABOVE_MEDIAN: Final = 10
_QUARTER: Final = 4
"""A picture with at least 50 rows is also repeated if its rows reach 10 times the median or exceed 1/4 of all rows."""
_KNOWN: Final = 2
"""A picture that was repeated in training counts only if its fraction of rows has more than doubled."""
_NO_PRODUCT: Final = frozenset({"-", "0", "n/a", "na", "nan", "none", "null", "unknown"})
_HEX: Final = 16
_SHOWN: Final = 5
END_REASONS: Final = frozenset({ReviewReason.DISAGREEMENT, ReviewReason.REPEATED, ReviewReason.MIX})
_COLUMNS: Final = ("sha256", "label", "confidence", "status", "reason", "top_k", "label_level", "leaf_guess")

Rows = npt.NDArray[np.intp]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class PictureRows:
    """Rows with the same picture. ``rows``: their number. ``first``: index of the first row."""

    rows: int
    first: int


@dataclass(frozen=True)
class EndReview:
    """Sends rows of one question to review at the end of a job.

    Attributes:
        repeated: rows of each repeated picture, by the first 16 digits of its SHA-256 (as a number).
        mix: the expected precision; None if unknown.
    """

    repeated: Mapping[int, PictureRows]
    mix: ClassMix | None = None

    def apply(self, part: pa.Table) -> pa.Table:
        """Send rows with a repeated picture or a low confidence to review."""
        if self.repeated:
            part = to_review(part, pa.array(self.shows_repeated(part)), ReviewReason.REPEATED)
        if self.mix and self.mix.raised is not None:
            labeled = pc.equal(part.column("status"), Status.LABELED)
            unsure = pc.less(part.column("confidence"), pa.scalar(self.mix.raised, pa.float32()))
            part = to_review(part, pc.and_kleene(labeled, unsure), ReviewReason.MIX)
        return part

    def shows_repeated(self, part: pa.Table) -> npt.NDArray[np.bool_]:
        """Whether each row shows a repeated picture: ``bool (n,)``."""
        shows = np.zeros(part.num_rows, np.bool_)
        rows, keys = _pictures(part)
        shows[rows] = np.isin(keys, np.fromiter(self.repeated, np.uint64))
        return shows


def find_end_reviews(job: Job) -> list[EndReview]:
    """Read all part files; returns an :class:`EndReview` for each question."""
    pictures = _repeated_pictures(job)
    reviews, shifts = [], []
    for question in job.questions:
        note, promised = read_note(question), question.model.precision
        proof = note.reference.proof if note.reference and promised is not None else None
        reviews.append(EndReview(_not_in_training(pictures, note, job.spec.rows)))
        shifts.append(LabelShift(proof, note.thresholds) if proof and note.thresholds is not None else None)
    if any(shifts):
        for batch in job.batches(list(_COLUMNS), ()):
            for shift, part, review in zip(shifts, batch.answers, reviews, strict=True):
                if shift:
                    _count_answers(shift, part, review)
    return [
        replace(review, mix=_class_mix(shift, question)) if shift else review
        for review, question, shift in zip(reviews, job.questions, shifts, strict=True)
    ]


def _pictures(part: pa.Table) -> tuple[Rows, Keys]:
    """Indices of rows that did not fail, and their pictures (first 16 digits of the SHA-256, as a number)."""
    column = pc.if_else(part.column("label").is_valid(), part.column("sha256"), None)
    digits = "".join(pc.utf8_slice_codeunits(column.drop_null(), 0, _HEX).to_pylist())
    return np.flatnonzero(column.is_valid().to_numpy()), np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)


def _repeated_pictures(job: Job) -> dict[int, PictureRows]:
    """Pictures that many rows or many products share, except pictures of only one product."""
    buckets = min(_MOST_BUCKETS, _BUCKETS_A_ROW * job.spec.rows)
    of_rows, of_products = (np.zeros(buckets, np.uint32) for _ in range(2))
    for numbers, keys, products in _picture_rows(job):
        chunks = (numbers // job.spec.chunk_rows).astype(np.uint64)
        np.add.at(of_rows, _bucket(keys, buckets), 1)
        np.add.at(of_products, _bucket(np.unique(np.stack([keys, products, chunks]), axis=1)[0], buckets), 1)
    many_rows, many_products = (_repeat_limit(counts[counts > 0], job.spec.rows) for counts in (of_rows, of_products))
    suspects = (of_rows >= many_rows) | (of_products >= many_products)
    if not suspects.any():
        return {}
    rows, spread, first = Counter[int](), defaultdict[int, set[int]](set), dict[int, int]()
    for numbers, keys, products in _picture_rows(job):
        chosen = suspects[_bucket(keys, buckets)]
        pictures, places, counts = np.unique(keys[chosen], return_index=True, return_counts=True)
        rows.update(dict(zip(pictures.tolist(), counts.tolist(), strict=True)))
        first = dict(zip(pictures.tolist(), numbers[chosen][places].tolist(), strict=True)) | first
        for key, product in np.unique(np.stack([keys, products])[:, chosen], axis=1).T.tolist():
            spread[key].add(product)
    return {
        key: PictureRows(count, first[key])
        for key, count in rows.items()
        if len(spread[key]) > 1 and (count >= many_rows or len(spread[key]) >= many_products)
    }


def _bucket(keys: Keys, buckets: int) -> Rows:
    return (keys % np.uint64(buckets)).astype(np.intp)


def _picture_rows(job: Job) -> Iterator[tuple[Rows, Keys, Keys]]:
    """Yield each batch's row indices, pictures and products, except for failed rows.

    A row without a product counts as a separate product.
    """
    column = job.spec.options.group_column
    for batch in job.batches(["sha256", "label"], [column] if column else ()):
        rows, keys = _pictures(batch.answers[0])
        numbers = rows + batch.first
        products = numbers.astype(np.uint64) + np.uint64(2**32)
        if column is not None:
            names = product_names(batch.rows, column).combine_chunks().dictionary_encode()
            known = [_product_key(name) for name in names.dictionary.to_pylist()]
            named = pa.array(known, pa.uint64()).take(names.indices).take(pa.array(rows))
            products = pc.coalesce(named, pa.array(products)).to_numpy()
        yield numbers, keys, products


def _product_key(name: str) -> int | None:
    return None if name.strip().casefold() in _NO_PRODUCT else zlib.crc32(name.encode())


def _repeat_limit(counts: npt.NDArray[np.uint32], rows: int) -> int:
    """The minimum rows of a repeated picture. ``counts``: rows of each picture."""
    others = np.sort(counts)[:-1]
    usual = int(np.quantile(others, _USUAL, method="lower")) if len(others) else 0
    above_usual = max(_ABOVE_USUAL * usual, min(_MANY_ROWS, max(_FEWEST, rows // _SHARE)))
    above_median = _ABOVE_MEDIAN * int(np.median(counts)) if len(counts) else 0
    return min(above_usual, max(_MORE_THAN_SIZES, min(above_median, rows // _QUARTER + 1)))


def _not_in_training(pictures: Mapping[int, PictureRows], note: ModelNote, rows: int) -> dict[int, PictureRows]:
    shares = note.reference.repeated if note.reference else {}
    usual = {int(sha256[:_HEX], 16): share for sha256, share in shares.items()}
    return {key: picture for key, picture in pictures.items() if picture.rows > _KNOWN * usual.get(key, 0.0) * rows}


def _count_answers(shift: LabelShift, part: pa.Table, review: EndReview) -> None:
    unknown = pc.fill_null(pc.equal(part.column("reason"), ReviewReason.UNKNOWN.value), False)
    left_out = pc.or_(unknown, pa.array(review.shows_repeated(part)))
    answers = with_leaves(part.filter(pc.and_not(pc.is_finite(part.column("confidence")), left_out)))
    guesses = pc.index_in(answers.column("label"), value_set=pa.array(shift.labels, pa.string()))
    is_known = guesses.is_valid()
    guesses, confidences = guesses.filter(is_known), answers.column("confidence").filter(is_known)
    shift.add(guesses.to_numpy().astype(np.intp), confidences.to_numpy())


def _class_mix(shift: LabelShift, question: Job) -> ClassMix | None:
    promised = question.model.precision
    expected = None if promised is None else shift.expected(promised)
    if expected is None or promised is None:
        return None
    name = max(expected.shares, key=lambda name: abs(expected.shares[name] - expected.proof_shares[name]))
    fixed = question.spec.options.fixed_thresholds or question.model.taxonomy is not None
    return ClassMix(
        promised=promised,
        expected=round(expected.precision, 4),
        low=round(expected.low, 4),
        high=round(expected.high, 4),
        raised=None if fixed else expected.raised,
        shares=(name, round(expected.shares[name], 4), round(expected.proof_shares[name], 4)),
    )


def shown_pictures(job: Job, review: EndReview) -> tuple[RepeatedPicture, ...]:
    """The most frequent repeated pictures, for the receipt."""
    most = sorted(review.repeated.values(), key=lambda one: (-one.rows, one.first))[:_SHOWN]
    images = images_at(job, [one.first for one in most])
    return tuple(
        RepeatedPicture(rows=one.rows, row=one.first + 1, image=readable(shown_cell(images[one.first]) or ""))
        for one in most
    )


@dataclass(frozen=True)
class EndedRows:
    """Rows that went to review at a job's end.

    Attributes:
        rows: row indices, ascending, ``int64 (n,)``.
        reasons: one per row.
    """

    rows: npt.NDArray[np.int64]
    reasons: pa.Array

    def reasons_of(self, first: int, count: int) -> pa.Array:
        """The review reason, or null, of each of ``count`` rows from index ``first``."""
        here = slice(*np.searchsorted(self.rows, [first, first + count]))
        numbers = pa.array(np.arange(first, first + count))
        return self.reasons[here].take(pc.index_in(numbers, value_set=pa.array(self.rows[here])))


def read_end_reviews(job: Job) -> EndedRows:
    """Read a finished job's :class:`EndedRows` from ``review.csv``."""
    receipt, prefix = finished_receipt(job), job.spec.options.prefix
    tables = [pa.schema([("row", pa.int64()), ("reason", pa.string())]).empty_table()]
    if receipt and not END_REASONS.isdisjoint(receipt.review_reasons):
        ended = pa.array(sorted(END_REASONS), pa.string())
        with scratch_folder(job.storage) as folder:
            for batch in read_delimited(job.storage.local(REVIEW_FILE, folder)).batches:
                chosen = pa.Table.from_batches([batch.filter(pc.is_in(batch.column(f"{prefix}reason"), ended))])
                columns = [chosen.column(prefix + name) for name in ("row", "reason")]
                tables.append(pa.Table.from_arrays(columns, ["row", "reason"]).cast(tables[0].schema))
    table = pa.concat_tables(tables).sort_by("row").combine_chunks()
    return EndedRows(table.column("row").to_numpy() - 1, table.column("reason").combine_chunks())
