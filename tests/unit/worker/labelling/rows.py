"""Made-up results of earlier jobs."""

import hashlib
from typing import NamedTuple

from hypothesis import strategies as st

from models.decision import ReviewReason
from models.errors import ImageFault
from tests.row_results import RowResult, cells_of
from worker.job.job import RETRYABLE
from worker.job.parts import Status
from worker.labelling.earlier_results import EarlierResults, Known

MODEL = "shop/1/float32@aaaaaaaaaaaa"


class LabelledRow(NamedTuple):
    """A result, and where its photo came from, if over a network."""

    result: RowResult
    url: str | None


def known_of(result: RowResult, *, carried: bool = False) -> Known:
    """What is known of a photo with such a result."""
    return Known(result.sha256 or "", cells_of(result), carried)


def add(known: EarlierResults, *rows: LabelledRow) -> None:
    for row in rows:
        known.add(row.result.sha256 or "", cells_of(row.result), [(row.url, row.result.etag)])


def sha256_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def labelled(number: int, url: str | None = None, etag: str | None = None) -> LabelledRow:
    """A row whose label tells the photo's number."""
    best = ((f"class {number}", 0.75), ("hat", 0.25))
    result = RowResult(best[0][0], 0.75, Status.LABELED, None, None, best, sha256_of(number), MODEL, etag=etag)
    return LabelledRow(result, url)


def failed(number: int, fault: ImageFault) -> LabelledRow:
    message = f"It is {fault.value}."
    return LabelledRow(RowResult(None, None, Status.FAILED, fault.value, message, None, sha256_of(number), MODEL), None)


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_SHARE = st.floats(0.0, 1.0)
_SHA256 = st.binary(min_size=32, max_size=32).map(bytes.hex)
_BEST = st.lists(st.tuples(_TEXT, _SHARE), min_size=1, max_size=3).map(tuple)
_LABELED = st.builds(
    lambda best, sha256, reason, unknown: RowResult(
        *(best[0][0], best[0][1], Status.REVIEW if reason else Status.LABELED),
        *(None, None, best, sha256, MODEL, reason),
        unknown=unknown,
    ),
    _BEST,
    _SHA256,
    st.sampled_from([None, ReviewReason.THRESHOLD, ReviewReason.UNKNOWN]),
    st.none() | st.floats(0.0, 100.0),
)
_FAILED = st.builds(
    lambda fault, message, sha256: RowResult(None, None, Status.FAILED, fault, message, None, sha256, MODEL),
    st.sampled_from([fault.value for fault in ImageFault if fault not in RETRYABLE]),
    _TEXT,
    _SHA256,
)
results = _LABELED | _FAILED
"""Any result that is the same at another time."""
