"""Drift: are a job's photos unlike those that its model was proved on, and of which finished jobs was that so?

What the model says of both is compared, by label and by confidence, with the population stability index. Each distinct
photo counts once, and rows that failed do not count.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from models.errors import InputError
from models.reference_answers import BINS, ReferenceAnswers
from models.statistics.drift import has_drifted, join_rare_bins, psi
from models.storage.storage import Storage, open_storage
from worker.receipt import RECEIPT_FILE, Drift, Receipt

__all__ = ["DriftedJob", "compared", "drifted_jobs"]

Note = Callable[[str], None]


def compared(found: ReferenceAnswers, reference: ReferenceAnswers) -> Drift | None:
    """Compare a job's answers with those on the photos that its model was proved on; none if either has no photos."""
    if not found.photos or not reference.photos:
        return None
    confidences = join_rare_bins(found.confidence_histogram, reference.confidence_histogram)
    names = sorted(found.by_label.keys() | reference.by_label.keys())
    labels = join_rare_bins(*([answers.by_label.get(name, 0) for name in names] for answers in (found, reference)))
    reasons = [
        f"{words} (PSI {psi(*pair):.2f})"
        for pair, words in (
            (confidences, _confidence_words(found, reference)),
            (labels, _label_words(found, reference)),
        )
        if has_drifted(*pair)
    ]
    return Drift(
        confidence_psi=round(psi(*confidences), 4),
        label_psi=round(psi(*labels), 4),
        rows=found.photos,
        reference_rows=reference.photos,
        warning=_warning(reasons) if reasons else None,
        reference=reference,
    )


def _warning(reasons: Sequence[str]) -> str:
    return (
        f"Drift: these photos are unlike those that the model was proved on: {', and '.join(reasons)}. Look at some of "
        "them; the model may need to learn from such photos."
    )


def _confidence_words(found: ReferenceAnswers, reference: ReferenceAnswers) -> str:
    here, there = (_mean(answers.confidence_histogram) for answers in (found, reference))
    return f"its confidence is {here:.2f} on average, and was {there:.2f}"


def _mean(histogram: Sequence[int]) -> float:
    """As far as the middles of the bins tell."""
    return sum((number + 0.5) / BINS * count for number, count in enumerate(histogram)) / sum(histogram)


def _label_words(found: ReferenceAnswers, reference: ReferenceAnswers) -> str:
    """The class whose share has moved most."""
    here, there = (_share_of(answers.by_label) for answers in (found, reference))
    name = max(sorted(here.keys() | there.keys()), key=lambda one: abs(here.get(one, 0.0) - there.get(one, 0.0)))
    return f"{here.get(name, 0.0):.0%} of them are {name}, and {there.get(name, 0.0):.0%} were"


def _share_of(counts: Mapping[str, int]) -> dict[str, float]:
    return {name: count / sum(counts.values()) for name, count in counts.items()}


@dataclass(frozen=True)
class DriftedJob:
    """A finished job whose receipt warns of drift.

    Attributes:
        place: its folder.
        source: the catalogue.
        finished_at: when, in UTC.
        rows: distinct photos that were compared.
        confidence_psi: how far their confidences are from those that the model was proved with.
        label_psi: the same of labels.
        warning: for a person.
    """

    place: str
    source: str
    finished_at: str
    rows: int
    confidence_psi: float
    label_psi: float
    warning: str


def drifted_jobs(
    places: Sequence[str], digest: str, since: str | None = None, note: Note = lambda _: None
) -> list[DriftedJob]:
    """Look for drift in the receipts of finished jobs, the earliest first.

    Args:
        places: folders of jobs, job folders (``<output>.job``), and folders that hold such; paths or ``s3://`` URLs.
        digest: of the model's bundle.
        since: jobs that finished then or before do not count; ISO 8601, UTC where it names no zone.
        note: told of each receipt that is damaged, and passed over.

    Raises:
        InputError: a place is neither a path nor an ``s3://`` URL, or a folder that is not there.
        MissingExtraError: it is in S3, and what talks to S3 is not installed.
    """
    after = _moment(since) if since else None
    receipts = (found for place in places for found in _receipts(_opened(place), note))
    drifted = {
        place: DriftedJob(
            place=place,
            source=receipt.source,
            finished_at=receipt.finished_at,
            rows=receipt.drift.rows,
            confidence_psi=receipt.drift.confidence_psi,
            label_psi=receipt.drift.label_psi,
            warning=receipt.drift.warning,
        )
        for place, receipt in receipts
        if receipt.model.digest == digest and (after is None or _moment(receipt.finished_at) > after)
        if receipt.drift is not None and receipt.drift.warning is not None
    }
    return sorted(drifted.values(), key=lambda job: _moment(job.finished_at))


def _opened(place: str) -> Storage:
    """Open a folder of jobs; a misspelt one is refused, since it would never show any drift."""
    storage = open_storage(place)
    folder = storage.on_disk("")
    if folder is not None and not folder.is_dir():
        msg = f"Expected a folder of jobs at {place}, found none; check jobs under [drift], or make the folder."
        raise InputError(msg)
    return storage


def _receipts(storage: Storage, note: Note) -> Iterator[tuple[str, Receipt]]:
    """The receipt of a job's own folder, and those of the folders in it."""
    for folder in (storage, *map(storage.child, storage.folders())):
        with suppress(FileNotFoundError):
            data = folder.read(RECEIPT_FILE)
            try:
                receipt = Receipt.model_validate_json(data)
                _moment(receipt.finished_at)
            except (ValidationError, ValueError):
                note(
                    f"{RECEIPT_FILE} in {folder.place} is damaged, or of another version of Hangtag; it is passed over."
                )
            else:
                yield folder.place, receipt


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
