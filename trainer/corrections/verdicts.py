"""What the words of all reviewers come to: of a photo a label, a remark, or a conflict; of an audit, the precision."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.statistics.intervals import exact_interval
from models.taxonomy import ancestors
from trainer.corrections.remarks import Remark, RemarkKind
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote, resolve
from worker.job.job import Job
from worker.job.receipt import Audit, read_audit
from worker.results.audit import AuditRow, audit_sample, write_audit


@dataclass(frozen=True)
class Verdict:
    """What reviewers say of a photo; neither a label nor a remark where they do not agree.

    Attributes:
        label: what it shows, as all who spoke say.
        remark: why it has no label, as all who spoke say.
        reviewers: who spoke, in alphabetical order.
    """

    label: str | None
    remark: RemarkKind | None
    reviewers: tuple[str, ...]

    @property
    def in_conflict(self) -> bool:
        """Whether nobody knows who is right."""
        return self.label is None and self.remark is None


def read_verdicts(store: CorrectionStore) -> dict[str, Verdict]:
    """Photo → what reviewers say of it, a photo being named by its SHA-256, or by its place where that is unknown.

    Raises:
        InputError: the corrections or the remarks cannot be read.
    """
    return verdicts_of(*store.words())


def verdicts_of(votes: Iterable[Vote], remarks: Iterable[Remark]) -> dict[str, Verdict]:
    """The same of votes and remarks that count, as :func:`trainer.corrections.remarks.heard` gives them."""
    resolved, remarked = resolve(votes), defaultdict[str, list[Remark]](list)
    for remark in remarks:
        remarked[remark.photo].append(remark)
    found: dict[str, Verdict] = {}
    for said in (*resolved.agreed, *resolved.conflicts):
        others = {remark.reviewer for remark in remarked.pop(said.votes[0].photo, ())}
        agreed = len({vote.label for vote in said.votes}) == 1 and not others
        names = tuple(sorted({*said.reviewers, *others}))
        found[said.votes[0].photo] = Verdict(said.label if agreed else None, None, names)
    for photo, words in remarked.items():
        kinds = {remark.kind for remark in words}
        names = tuple(sorted({remark.reviewer for remark in words}))
        found[photo] = Verdict(None, words[0].kind if len(kinds) == 1 else None, names)
    return found


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
