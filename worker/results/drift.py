"""Drift: how far a job's photos differ from the photos of its model's proof, and which finished jobs have drifted.

The model's labels and confidences on both are compared by the population stability index: each distinct photo counts
once, and then each row, since promises are of rows. Rows that failed do not count.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from operator import mul

from pydantic import ValidationError

from models.drift import BINS, ReferenceAnswers, differs, has_drifted, is_blind, join_rare_bins, psi
from models.errors import InputError
from models.storage.storage import Storage, open_storage
from models.text import number_of
from worker.job.receipt import RECEIPT_FILE, Drift, Receipt

Note = Callable[[str], None]
_Histograms = dict[str, tuple[list[int], list[int]]]


def compared(
    found: ReferenceAnswers, reference: ReferenceAnswers, rows: ReferenceAnswers | None = None
) -> Drift | None:
    """Compare a job's answers with those on the photos of the proof; None if either has no photos.

    ``found`` are those on distinct photos, ``rows`` those on all rows, if these are more. Rows of one photo are not
    independent, so all rows together count as many as the distinct photos.
    """
    if not found.photos or not reference.photos:
        return None
    by_photo, by_row = _histograms(found, reference), _histograms(_scaled(rows or found, found.photos), reference)
    large, any_size = (", and ".join(_changes(by_photo, by_row, test)) for test in (has_drifted, differs))
    warning = (
        f"Drift: these photos are unlike the photos of the model's proof: {large}. "
        "Its promise need not hold for them: look at some."
    )
    if large:
        finding = warning
    elif any_size:
        told = "by more than chance, though not enough for a warning"
        finding = f"These photos differ from those that the model was proved on, {told}: {any_size}."
    elif any(is_blind(*pair) for pair in by_photo.values()):
        few = number_of(min(found.photos, reference.photos), "photo is", "photos are")
        like = "yours are alike" if reference.photos < found.photos else "they are like those of the proof"
        finding = f"{few} too few to tell whether {like}."
    else:
        finding = "These photos are like those that the model was proved on, as far as chance can tell."
    confidences, labels = by_photo.values()
    return Drift(
        confidence_psi=round(psi(*confidences), 4),
        label_psi=round(psi(*labels), 4),
        rows=found.photos,
        reference_rows=reference.photos,
        warning=warning if large else None,
        finding=finding,
        reference=ReferenceAnswers(**{name: getattr(reference, name) for name in ReferenceAnswers.model_fields}),
    )


def _changes(
    by_photo: _Histograms, by_row: _Histograms, test: Callable[[Sequence[int], Sequence[int]], bool]
) -> Iterator[str]:
    for (words, pair), (row_words, row_pair) in zip(by_photo.items(), by_row.items(), strict=True):
        if test(*pair):
            yield f"{words} (PSI {psi(*pair):.2f})"
        if test(*row_pair) and not (test(*pair) and words == row_words):
            yield f"by rows, {row_words} (PSI {psi(*row_pair):.2f})"


def _histograms(found: ReferenceAnswers, reference: ReferenceAnswers) -> _Histograms:
    """Words on the difference → both histograms: of confidences, then of labels."""
    names = sorted(found.by_label.keys() | reference.by_label.keys())
    labels = join_rare_bins(*([answers.by_label.get(name, 0) for name in names] for answers in (found, reference)))
    confidences = join_rare_bins(found.confidence_histogram, reference.confidence_histogram)
    return {_confidence_words(found, reference): confidences, _label_words(found, reference): labels}


def _scaled(answers: ReferenceAnswers, photos: int) -> ReferenceAnswers:
    """The same shares, of about so many photos."""
    by_label = {name: round(count * photos / answers.photos) for name, count in answers.by_label.items()}
    bins = tuple(round(count * photos / answers.photos) for count in answers.confidence_histogram)
    return ReferenceAnswers(confidence_histogram=bins, by_label=by_label)


def _confidence_words(found: ReferenceAnswers, reference: ReferenceAnswers) -> str:
    """The mean confidences, estimated from the middles of the bins; if they are alike, the bin that differs most."""
    middles = [(number + 0.5) / BINS for number in range(BINS)]
    here, there = (
        sum(map(mul, middles, answers.confidence_histogram)) / answers.photos for answers in (found, reference)
    )
    if f"{here:.2f}" != f"{there:.2f}":
        return f"its confidence is {here:.2f} on average, and was {there:.2f}"
    shares = [[count / answers.photos for count in answers.confidence_histogram] for answers in (found, reference)]
    number, (share, before) = max(enumerate(zip(*shares, strict=True)), key=lambda one: abs(one[1][0] - one[1][1]))
    edges = f"{number / BINS:.2f} and {(number + 1) / BINS:.2f}"
    return (
        f"its confidence is still {here:.2f} on average, but between {edges} for {share:.0%} of them, and was for "
        f"{before:.0%}"
    )


def _label_words(found: ReferenceAnswers, reference: ReferenceAnswers) -> str:
    def share(answers: ReferenceAnswers, name: str) -> float:
        return answers.by_label.get(name, 0) / answers.photos

    names = sorted(found.by_label.keys() | reference.by_label.keys())
    name = max(names, key=lambda name: abs(share(found, name) - share(reference, name)))
    return f"{share(found, name):.0%} of them are {name}, and {share(reference, name):.0%} were"


def drifted_jobs(
    places: Sequence[str], digest: str, since: str | None = None, note: Note = lambda _: None
) -> list[str]:
    """The folders of finished jobs that warn of drift, the earliest first; only those that ended after ``since``.

    ``places`` are folders of jobs, job folders, or folders of such; ``note`` is called with each damaged receipt.
    """
    after = _moment(since) if since else datetime.min.replace(tzinfo=UTC)
    drifted: dict[str, datetime] = {}
    for place in places:
        for folder, receipt in _receipts(_opened(place), note):
            moment = _moment(receipt.finished_at)
            if receipt.model.digest == digest and moment > after and receipt.drift and receipt.drift.warning:
                drifted[folder] = moment
    return sorted(drifted, key=drifted.__getitem__)


def _opened(place: str) -> Storage:
    """Open a folder of jobs; a missing one is refused, since a misspelt name would hide all drift."""
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
                note(f"{RECEIPT_FILE} in {folder.place} is damaged, or of another version of Hangtag; it is skipped.")
            else:
                yield folder.place, receipt


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
