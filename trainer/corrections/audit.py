"""What reviewers say of labeled rows that were drawn at random: the precision that is kept, beside the promised one."""

from collections.abc import Mapping, Sequence

from models.statistics.intervals import exact_interval
from models.taxonomy import ancestors
from trainer.corrections.store import CorrectionStore
from trainer.corrections.verdicts import Verdict, read_verdicts
from worker.audit import AuditRow, audit_sample, write_audit
from worker.job import Job
from worker.receipt import Audit, read_audit

__all__ = ["audit_figures", "record_audit"]


def record_audit(job: Job, store: CorrectionStore, rows: int = 0) -> Audit | None:
    """Count what is answered of a job's audit, and note it in ``audit.json`` and on the receipt.

    Args:
        job: that is finished.
        store: what reviewers said.
        rows: how many labeled rows to draw; never fewer than were drawn before.

    Returns:
        The figures; ``None`` if nobody has ever asked for an audit of this job.

    Raises:
        InputError: the corrections cannot be read.
        JobError: a part is missing or damaged.
    """
    noted = read_audit(job, of_any_retry=True)
    asked = max(rows, noted.figures.asked if noted else 0)
    if not asked:
        return None
    sample = audit_sample(job, asked)
    figures = audit_figures(job, sample, read_verdicts(store), asked)
    write_audit(job, sample, figures)
    return figures


def audit_figures(job: Job, sample: Sequence[AuditRow], verdicts: Mapping[str, Verdict], asked: int = 0) -> Audit:
    """Count right labels among the answered rows of a sample.

    A row is right if all reviewers who spoke of its photo say its label, or a class under it; a remark, such as "not a
    product", counts as wrong. Rows on which reviewers disagree are not counted, and told apart. The interval is Clopper
    and Pearson's at 95%; it is on the safe side here, since rows are drawn without putting them back.
    """
    said = [(row, verdicts[row.sha256]) for row in sample if row.sha256 in verdicts]
    settled = [(row, verdict) for row, verdict in said if not verdict.in_conflict]
    parents = job.model.taxonomy or {}
    right = sum(
        verdict.label is not None and row.label in {verdict.label, *ancestors(parents, verdict.label)}
        for row, verdict in settled
    )
    low, high = exact_interval(right, len(settled))
    return Audit(
        asked=max(asked, len(sample)),
        drawn=len(sample),
        answered=len(settled),
        right=right,
        disputed=len(said) - len(settled),
        low=low,
        high=high,
        promised=job.model.precision,
    )
