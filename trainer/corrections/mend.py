"""Words on one photo by one person, of which some know where it is and others do not."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from trainer.corrections.word import Word
from trainer.data.hashing import holds

__all__ = ["leads_to_photo", "lost_places", "mended_words"]


def mended_words(before: Iterable[Word], said: Sequence[Word], leads: Callable[[Word], bool]) -> dict[Word, Word]:
    """What words become where another one of the same reviewer, photo and label knows the way to the photo.

    A path that leads to the photo's bytes takes the place of one that does not, whichever was said first; of several,
    the first in alphabetical order. URLs stay as they are. Files are looked at only where paths differ.

    Args:
        before: words that are kept.
        said: words that come in; only what they are about is looked at.
        leads: whether a word's path leads to a file with its photo's bytes.

    Returns:
        The words that change → what they become.
    """
    wanted = {_about(word) for word in said if _movable(word)}
    by_photo: defaultdict[tuple[str, str, str], set[Word]] = defaultdict(set)
    for word in (*before, *said):
        if _movable(word) and _about(word) in wanted:
            by_photo[_about(word)].add(word)
    mended: dict[Word, Word] = {}
    for words in by_photo.values():
        if len({word.image for word in words}) == 1:
            continue
        alive = {image for image, one in {word.image: word for word in words}.items() if leads(one)}
        if alive:
            mended |= {word: replace(word, image=min(alive)) for word in words if word.image not in alive}
    return mended


def leads_to_photo(word: Word) -> bool:
    """Whether a word's path leads to a file with its photo's bytes."""
    return word.path is not None and holds(word.path, word.sha256)


def lost_places(words: Iterable[Word]) -> list[str]:
    """The paths in words that lead to no file, each once, in the order of the words."""
    places = dict.fromkeys(word.image for word in words if word.path is not None)
    return [place for place in places if not _is_file(Path(place))]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False  # its name is too long, or nobody may look


def _about(word: Word) -> tuple[str, str, str]:
    return word.reviewer, word.sha256, word.label


def _movable(word: Word) -> bool:
    return bool(word.sha256) and (word.path is not None or not word.image)
