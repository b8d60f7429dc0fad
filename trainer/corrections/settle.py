"""What reviewers agree on, and on which photos they do not."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.corrections.word import Word

__all__ = ["Agreed", "Conflict", "Settled", "settle"]


@dataclass(frozen=True)
class Agreed:
    """A photo of which all who spoke say the same, each with the last word.

    Attributes:
        words: the last of each reviewer, the latest first.
    """

    words: tuple[Word, ...]

    @property
    def label(self) -> str:
        """What it shows."""
        return self.words[0].label

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Who say so, in alphabetical order."""
        return _reviewers(self.words)


@dataclass(frozen=True)
class Conflict:
    """A photo of which reviewers say different things; nobody knows who is right, so it is left out.

    Attributes:
        words: the last of each reviewer (all that one said at the same moment), the latest first.
    """

    words: tuple[Word, ...]

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Who spoke, in alphabetical order."""
        return _reviewers(self.words)


@dataclass(frozen=True)
class Settled:
    """What came of reviewers' words, in the order of their photos."""

    agreed: tuple[Agreed, ...]
    conflicts: tuple[Conflict, ...]


def settle(words: Iterable[Word]) -> Settled:
    """Let each reviewer's last word on a photo count, and all reviewers alike.

    A conflict is over when a later word of one of them makes all of them say the same. Neither the order of words nor
    a word that comes twice makes a difference.
    """
    by_photo: defaultdict[str, list[Word]] = defaultdict(list)
    for word in sorted(set(words), reverse=True):
        by_photo[word.photo].append(word)
    agreed: list[Agreed] = []
    conflicts: list[Conflict] = []
    for _, said in sorted(by_photo.items()):
        last = _last(said)
        if len({word.label for word in last}) == 1:
            agreed.append(Agreed(last))
        else:
            conflicts.append(Conflict(last))
    return Settled(tuple(agreed), tuple(conflicts))


def _last(words: Sequence[Word]) -> tuple[Word, ...]:
    """Of words on one photo, the latest first, those that each reviewer ended with."""
    when = {word.reviewer: word.at for word in reversed(words)}
    return tuple(word for word in words if word.at == when[word.reviewer])


def _reviewers(words: Iterable[Word]) -> tuple[str, ...]:
    return tuple(sorted({word.reviewer for word in words}))
