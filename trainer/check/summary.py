"""``check.json``: what a check found, for scripts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict

from trainer.check.checkup import Checkup
from trainer.check.findings import UNUSABLE, Findings
from trainer.check.issues import Issue
from trainer.check.sentences import leak_sentences

__all__ = ["Summary"]


def _readable(text: str) -> str:
    r"""A name that is no UTF-8, as JSON can hold it: ``b\xe9ret.png``; ``check.csv`` has its very bytes."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


Text = Annotated[str, BeforeValidator(_readable)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BadFile(_Record):
    """A file that cannot be used."""

    image: Text
    kind: str
    message: Text


class Member(_Record):
    """A photo of a group."""

    image: Text
    label: Text
    split: str | None


class Pair(_Record):
    """Two photos that show the same picture in other pixels; ``likeness`` is at most 1."""

    first: Member
    second: Member
    likeness: float


class LeakedPhoto(_Record):
    """A photo, and its twin in a split that more is learned from; ``kind`` is ``exact``, ``near`` or ``product``."""

    photo: Member
    twin: Member
    kind: str


class Shortcut(_Record):
    """How well classes are guessed from an accident; see :class:`trainer.check.shortcuts.Guess`."""

    feature: Text
    accuracy: float
    majority: float
    is_shortcut: bool
    pair: tuple[Text, Text]
    pair_accuracy: float
    pair_majority: float
    classes: int
    pair_stands_out: bool


class Summary(_Record):
    """The contents of ``check.json``.

    Attributes:
        schema_version: of this file's format.
        data: what was checked.
        images: files that were taken for photos.
        usable: those that can be learned from.
        classes: usable photos of each class.
        splits: usable photos of each split; empty where the person gave none.
        issues: how many photos and files have each issue.
        properties: class → issue → share, where most of the class has it.
        bad_files: that cannot be used.
        ignored: other files: their names are not those of photos, or they lie in no class folder.
        exact_duplicates: groups with the same pixels.
        near_duplicates: pairs.
        label_conflicts: groups under several labels.
        placeholders: groups of one picture that stands for many products.
        leaks: photos that were seen in a split that more is learned from.
        leak_sentences: the same in words.
        shortcuts: every guess, the best first.
        seconds: that the check took.
    """

    schema_version: Literal[1] = 1
    data: Text
    images: int
    usable: int
    classes: dict[Text, int]
    splits: dict[str, int]
    issues: dict[str, int]
    properties: dict[Text, dict[str, float]]
    bad_files: list[BadFile]
    ignored: list[BadFile]
    exact_duplicates: list[list[Member]]
    near_duplicates: list[Pair]
    label_conflicts: list[list[Member]]
    placeholders: list[list[Member]]
    leaks: list[LeakedPhoto]
    leak_sentences: list[str]
    shortcuts: list[Shortcut]
    seconds: float

    @classmethod
    def of(cls, checkup: Checkup, findings: Findings, data: Path, seconds: float) -> Self:
        """What a check of ``data`` found."""
        relations, photos = checkup.relations, checkup.looked.photos
        members = [Member(image=str(p.path), label=p.label, split=p.split) for p in photos]
        return cls(
            data=str(data),
            images=len(photos) + len(checkup.looked.faulty),
            usable=len(photos),
            classes=dict.fromkeys(checkup.dataset.classes, 0) | dict(sorted(Counter(p.label for p in photos).items())),
            splits=dict(Counter(str(photo.split) for photo in photos if photo.split)),
            issues={issue.value: findings.count(issue) for issue in Issue},
            properties={
                label: {issue.value: share for issue, share in issues.items()}
                for label, issues in checkup.judgement.properties.items()
            },
            bad_files=[
                BadFile(image=str(one.photo.path), kind=one.fault.kind, message=one.fault.message)
                for one in checkup.looked.faulty
            ],
            ignored=[BadFile(image=str(one.path), kind=one.reason, message=one.message) for one in checkup.ignored],
            exact_duplicates=_groups(relations.exact, members),
            near_duplicates=[
                Pair(first=members[pair.first], second=members[pair.second], likeness=pair.likeness)
                for pair in relations.near
            ],
            label_conflicts=_groups(relations.conflicts, members),
            placeholders=_groups(relations.placeholders, members),
            leaks=[
                LeakedPhoto(photo=members[leak.photo], twin=members[leak.twin], kind=leak.kind)
                for leak in relations.leaks
            ],
            leak_sentences=leak_sentences(checkup),
            shortcuts=[Shortcut(**vars(guess)) for guess in checkup.guesses],
            seconds=round(seconds, 2),
        )

    @property
    def strict_faults(self) -> dict[str, int]:
        """What ``--strict`` does not let pass, and how often it was found."""
        wanted = (*UNUSABLE, Issue.LABEL_CONFLICT, Issue.LEAK)
        several_labels = [len(group) for group in self.placeholders if len({member.label for member in group}) > 1]
        found = {issue.value: self.issues[issue] for issue in wanted} | {Issue.PLACEHOLDER.value: sum(several_labels)}
        return {name: count for name, count in found.items() if count}


def _groups(groups: Sequence[Sequence[int]], members: Sequence[Member]) -> list[list[Member]]:
    return [[members[place] for place in group] for group in groups]
