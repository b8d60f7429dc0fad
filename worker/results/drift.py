"""Drift: compares a model's answers on a job's photos with its answers on its proof photos.

The population stability index (PSI) compares labels and confidences, of distinct photos and of all rows.
Failed rows do not count. Proof photos are the photos with known labels from which the model's thresholds were computed.
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


def measure_drift(
    actual: ReferenceAnswers, reference: ReferenceAnswers, rows: ReferenceAnswers | None = None
) -> Drift | None:
    """Compare a model's answers on a job's photos and on the proof photos; None if the job or the proof has no photos.

    ``actual``: answers on distinct photos. ``rows``: answers on all rows. The counts of ``rows`` are scaled to the
    number of distinct photos, since rows of one photo are not independent.
    """
    if not actual.photos or not reference.photos:
        return None
    by_photo, by_row = _histograms(actual, reference), _histograms(_scaled(rows or actual, actual.photos), reference)
    large, any_size = (", and ".join(_changes(by_photo, by_row, test)) for test in (has_drifted, differs))
    warning = (
        f"Drift: these photos differ from the model's proof photos: {large}. "
        "The precision may be lower than promised: check some labels."
    )
    if large:
        finding = warning
    elif any_size:
        extent = "by more than chance, though not enough for a warning"
        finding = f"These photos differ from the model's proof photos, {extent}: {any_size}."
    elif any(is_blind(*pair) for pair in by_photo.values()):
        few = number_of(min(actual.photos, reference.photos), "photo is", "photos are")
        like = (
            "the job's photos are like these proof photos"
            if reference.photos < actual.photos
            else "they are like the proof photos"
        )
        finding = f"{few} too few to tell whether {like}."
    else:
        finding = "These photos do not differ from the model's proof photos by more than chance."
    confidences, labels = by_photo.values()
    return Drift(
        confidence_psi=round(psi(*confidences), 3),
        label_psi=round(psi(*labels), 3),
        rows=actual.photos,
        warning=warning if large else None,
        finding=finding,
        reference=ReferenceAnswers(**{name: getattr(reference, name) for name in ReferenceAnswers.model_fields}),
    )


def _changes(
    by_photo: _Histograms, by_row: _Histograms, test: Callable[[Sequence[int], Sequence[int]], bool]
) -> Iterator[str]:
    for (words, pair), (row_words, row_pair) in zip(by_photo.items(), by_row.items(), strict=True):
        if test(*pair):
            yield f"{words} (PSI {psi(*pair):.3f})"
        if test(*row_pair) and not (test(*pair) and words == row_words):
            yield f"among all rows, {row_words} (PSI {psi(*row_pair):.3f})"


def _histograms(actual: ReferenceAnswers, reference: ReferenceAnswers) -> _Histograms:
    """Histograms of the job's and the proof photos, by description: first confidences, then labels."""
    names = sorted(actual.by_label.keys() | reference.by_label.keys())
    labels = join_rare_bins(*([answers.by_label.get(name, 0) for name in names] for answers in (actual, reference)))
    confidences = join_rare_bins(actual.confidence_histogram, reference.confidence_histogram)
    return {_confidence_words(actual, reference): confidences, _label_words(actual, reference): labels}


def _scaled(answers: ReferenceAnswers, photos: int) -> ReferenceAnswers:
    by_label = {name: round(count * photos / answers.photos) for name, count in answers.by_label.items()}
    bins = tuple(round(count * photos / answers.photos) for count in answers.confidence_histogram)
    return ReferenceAnswers(confidence_histogram=bins, by_label=by_label)


def _confidence_words(actual: ReferenceAnswers, reference: ReferenceAnswers) -> str:
    """Describe the change of the mean confidence or, if there is none, the bin that changed most."""
    middles = [(number + 0.5) / BINS for number in range(BINS)]
    here, there = (
        sum(map(mul, middles, answers.confidence_histogram)) / answers.photos for answers in (actual, reference)
    )
    if f"{here:.2f}" != f"{there:.2f}":
        return f"the mean confidence is {here:.2f}, but was {there:.2f}"
    shares = [[count / answers.photos for count in answers.confidence_histogram] for answers in (actual, reference)]
    number, (share, before) = max(enumerate(zip(*shares, strict=True)), key=lambda one: abs(one[1][0] - one[1][1]))
    edges = f"{number / BINS:.2f} and {(number + 1) / BINS:.2f}"
    return (
        f"the mean confidence is still {here:.2f}, but {share:.0%} of confidences are between {edges} "
        f"(before: {before:.0%})"
    )


def _label_words(actual: ReferenceAnswers, reference: ReferenceAnswers) -> str:
    def share(answers: ReferenceAnswers, name: str) -> float:
        return answers.by_label.get(name, 0) / answers.photos

    names = sorted(actual.by_label.keys() | reference.by_label.keys())
    name = max(names, key=lambda name: abs(share(actual, name) - share(reference, name)))
    return f"{name} is {share(actual, name):.0%} of the labels, but was {share(reference, name):.0%}"


def drifted_jobs(
    places: Sequence[str], digest: str, since: str | None = None, note: Note = lambda _: None
) -> list[str]:
    """Folders of finished jobs with a drift warning, earliest first.

    ``places``: job folders, or folders of job folders. ``since``: ignore jobs that finished before this time
    (ISO 8601). ``note`` is called with a sentence for each damaged receipt.
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
    storage = open_storage(place)
    folder = storage.on_disk("")
    if folder is not None and not folder.is_dir():
        msg = f"Expected a folder of jobs at {place}, found none; fix the jobs setting in [drift], or make the folder."
        raise InputError(msg)
    return storage


def _receipts(storage: Storage, note: Note) -> Iterator[tuple[str, Receipt]]:
    for folder in (storage, *map(storage.child, storage.folders())):
        with suppress(FileNotFoundError):
            data = folder.read(RECEIPT_FILE)
            try:
                receipt = Receipt.model_validate_json(data)
                _moment(receipt.finished_at)
            except (ValidationError, ValueError):
                note(f"{RECEIPT_FILE} in {folder.place} is damaged, or from another Hangtag version; it is skipped.")
            else:
                yield folder.place, receipt


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
