"""Results of an audit: reviewers check a random sample of labeled rows to measure the promised precision."""

from collections.abc import Mapping, Sequence

from models.statistics.intervals import exact_interval
from models.taxonomy import ancestors
from models.text import label_text
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import PhotoVotes, resolve
from worker.job.job import Job
from worker.job.receipt import Audit, read_audit
from worker.results.audit import AuditRow, audit_sample, write_audit


def record_audit(job: Job, store: CorrectionStore, rows: int = 0) -> Audit | None:
    """Count the answers of a finished job's audit, and record them in ``audit.json`` and on the receipt.

    ``rows``: number of labeled rows to sample. If an earlier sample was larger, its size is used. Returns None if this
    job has no audit.
    """
    noted = read_audit(job, of_any_retry=True)
    rows = max(rows, noted.figures.asked if noted else 0)
    if not rows:
        return None
    sample = audit_sample(job, rows)
    figures = audit_figures(job, sample, resolve(store.votes()), rows)
    write_audit(job, sample, figures)
    return figures


def audit_figures(job: Job, sample: Sequence[AuditRow], resolved: Mapping[str, PhotoVotes], rows: int = 0) -> Audit:
    """Count the right labels among the answered rows of a sample.

    A row is right if all reviewers of the photo give the row's label, or a class under it. A remark, such as "not a
    product", makes the row wrong. Rows on which reviewers disagree are counted separately. The 95% interval is Clopper
    and Pearson's.
    """
    answered = [(row, resolved[row.sha256]) for row in sample if row.sha256 in resolved]
    settled = [(row, votes) for row, votes in answered if not votes.in_conflict]
    parents = {label_text(label): label_text(up) for label, up in (job.model.taxonomy or {}).items()}
    right = sum(
        votes.label is not None and label_text(row.label) in {votes.label, *ancestors(parents, votes.label)}
        for row, votes in settled
    )
    low, high = exact_interval(right, len(settled))
    return Audit(
        asked=max(rows, len(sample)),
        drawn=len(sample),
        answered=len(settled),
        right=right,
        disputed=len(answered) - len(settled),
        low=low,
        high=high,
        promised=job.model.precision,
    )
