"""All that a check found, photo by photo: whether each has each issue, and how badly."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.check.checkup import Checkup, Faulty
from trainer.check.issues import Flags, Issue, Scores
from trainer.check.photo_fault import FaultKind

__all__ = ["GRAVE", "UNUSABLE", "Findings", "find", "issue_of"]

UNUSABLE: Final = (Issue.MISSING, Issue.UNREADABLE, Issue.TRUNCATED, Issue.UNSUPPORTED)
"""Issues of files that have no picture to show."""

GRAVE: Final = (*UNUSABLE, Issue.WRONG_EXTENSION, Issue.LEAK, Issue.LABEL_CONFLICT, Issue.PLACEHOLDER)
"""Issues that spoil what is learned, or what is measured."""


@dataclass(frozen=True)
class Findings:
    """The issues of the usable photos, and of the files that are not; every array has a value a usable photo.

    Attributes:
        flags: whether the photo has the issue.
        scores: from 0, as bad as can be, to 1.
        twins: place → place of the photo that best explains it: the one it repeats, or leaks from.
        faulty: issue → files.
    """

    flags: Mapping[Issue, Flags]
    scores: Mapping[Issue, Scores]
    twins: Mapping[int, int]
    faulty: Mapping[Issue, tuple[Faulty, ...]]

    def count(self, issue: Issue) -> int:
        """How many photos and files have an issue."""
        flagged = int(self.flags[issue].sum()) if issue in self.flags else 0
        return flagged + len(self.faulty.get(issue, ()))

    def places(self, issue: Issue) -> list[int]:
        """The photos with an issue, the worst first."""
        if issue not in self.flags:
            return []
        flagged = np.flatnonzero(self.flags[issue])
        order = np.argsort(self.scores[issue][flagged], kind="stable")
        return [int(place) for place in flagged[order]]


def find(checkup: Checkup) -> Findings:
    """Gather what a check found."""
    relations, count = checkup.relations, len(checkup.looked.photos)
    near = _near_scores(checkup)
    related: dict[Issue, Scores] = {
        Issue.PLACEHOLDER: _all_but(count, (place for group in relations.placeholders for place in group)),
        Issue.EXACT_DUPLICATE: _all_but(count, (place for group in relations.exact for place in group)),
        Issue.NEAR_DUPLICATE: near,
        Issue.LABEL_CONFLICT: _all_but(count, (place for group in relations.conflicts for place in group)),
        Issue.LEAK: _all_but(count, (leak.photo for leak in relations.leaks)),
    }
    return Findings(
        flags={**checkup.judgement.flags, **{issue: scores < 1 for issue, scores in related.items()}},
        scores={**checkup.judgement.scores, **related},
        twins=_twins(checkup),
        faulty=_by_issue(checkup.looked.faulty),
    )


def issue_of(faulty: Faulty) -> Issue:
    """The issue of a file that cannot be used; whatever keeps it from being read makes it unreadable."""
    kind = faulty.fault.kind
    named = {FaultKind.MISSING, FaultKind.TRUNCATED, FaultKind.UNSUPPORTED, FaultKind.WRONG_EXTENSION}
    return Issue(kind) if kind in named else Issue.UNREADABLE


def _near_scores(checkup: Checkup) -> Scores:
    scores: npt.NDArray[np.float64] = np.ones(len(checkup.looked.photos))
    for pair in checkup.relations.near:
        for place in (pair.first, pair.second):
            scores[place] = min(scores[place], max(0.0, 1 - pair.likeness), 0.9999)
    for group in checkup.relations.exact:  # of the same pixels only one photo is compared with others
        scores[list(group)] = scores[list(group)].min()
    return scores


def _all_but(count: int, places: Iterable[int]) -> Scores:
    scores = np.ones(count)
    scores[list(places)] = 0
    return scores


def _twins(checkup: Checkup) -> dict[int, int]:
    """What matters most is written last: a photo has one twin only."""
    relations, twins = checkup.relations, dict[int, int]()
    for pair in sorted(relations.near, key=lambda pair: pair.likeness):
        twins.update({pair.first: pair.second, pair.second: pair.first})
    for group in relations.exact:
        twins.update({place: group[0] if place != group[0] else group[1] for place in group})
    for group in relations.conflicts:
        labels = {place: checkup.looked.photos[place].label for place in group}
        others = {name: next(place for place in group if labels[place] != name) for name in set(labels.values())}
        twins.update({place: others[labels[place]] for place in group})
    twins.update({leak.photo: leak.twin for leak in relations.leaks})
    return twins


def _by_issue(faulty: Iterable[Faulty]) -> dict[Issue, tuple[Faulty, ...]]:
    found: defaultdict[Issue, list[Faulty]] = defaultdict(list)
    for one in faulty:
        found[issue_of(one)].append(one)
    return {issue: tuple(files) for issue, files in found.items()}
