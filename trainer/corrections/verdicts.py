"""What the words of all reviewers on a photo come to: a label, a remark, or a conflict."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from trainer.corrections.remarks import Remark, RemarkKind
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote, resolve

__all__ = ["Verdict", "read_verdicts", "verdicts_of"]


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
