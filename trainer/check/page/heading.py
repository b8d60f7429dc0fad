"""The top of a check's page: how many images there are, and how good they are."""

from collections import Counter

from models.text import number_of
from pages.text import share, visible
from trainer.check.check_reports import MEANINGS, leak_sentences
from trainer.check.checkup import GRAVE, Checkup, Findings
from trainer.check.issues import Issue
from trainer.data.dataset import Split
from worker.results import Status

__all__ = ["heading", "images_of"]


def images_of(checkup: Checkup) -> int:
    """How many images there are, with those that cannot be used."""
    return len(checkup.looked.photos) + len(checkup.looked.faulty)


def heading(title: str, checkup: Checkup, findings: Findings) -> str:
    """A title of HTML, the splits, the numbers that matter most, and how bad they are in a sentence."""
    return f"<h1>{title}</h1>{_lead(checkup)}{_numbers(checkup, findings)}{_verdict(checkup, findings)}"


def _lead(checkup: Checkup) -> str:
    sizes = Counter(photo.split for photo in checkup.looked.photos)
    splits = ", ".join(f"{split} {sizes[split]:,}" for split in Split if sizes[split])
    classes = number_of(len(checkup.dataset.classes), "class", "classes")
    return f'<p class="faint">{classes}; {splits or "no splits given"}.</p>'


def _numbers(checkup: Checkup, findings: Findings) -> str:
    images, unusable = images_of(checkup), len(checkup.looked.faulty)
    copies = findings.flags[Issue.EXACT_DUPLICATE] | findings.flags[Issue.NEAR_DUPLICATE]
    kinds = f"{findings.count(Issue.EXACT_DUPLICATE):,} exact, {findings.count(Issue.NEAR_DUPLICATE):,} near"
    pictures = number_of(len(checkup.relations.conflicts), "picture", "pictures")
    cards = (
        _card(images, ("image", "images"), number_of(len(checkup.dataset.classes), "class", "classes"), ""),
        _card(unusable, ("cannot be used",) * 2, share(unusable, images), Status.FAILED),
        _card(int(copies.sum()), ("duplicate", "duplicates"), kinds, Status.REVIEW),
        _card(
            findings.count(Issue.LABEL_CONFLICT),
            ("label conflict", "label conflicts"),
            f"{pictures} under two labels",
            Status.FAILED,
        ),
        _leak_card(checkup),
        _shortcut_card(checkup),
    )
    return f'<div class="numbers">{"".join(cards)}</div>'


def _leak_card(checkup: Checkup) -> str:
    if not _has_splits(checkup):
        return _card(None, ("leak", "leaks"), "no splits given", "")
    return _card(len(checkup.relations.leaks), ("leak", "leaks"), "also in a split that is learned from", Status.FAILED)


def _shortcut_card(checkup: Checkup) -> str:
    if not checkup.guesses:
        return _card(None, ("shortcut", "shortcuts"), "too few images to tell", "")
    return _card(_shortcuts(checkup), ("shortcut", "shortcuts"), "accidents that tell the class", Status.REVIEW)


def _card(count: int | None, noun: tuple[str, str], detail: str, bad: str) -> str:
    """A number, in the colour of what is bad or in that of what is good; a dash where nothing was counted.

    Args:
        count: what was counted.
        noun: of one, and of any other number.
        detail: HTML.
        bad: the kind of card where there are some; none where that is neither good nor bad.
    """
    kind = bad if count or not bad else Status.LABELED
    shown = "–" if count is None else f"{count:,}"
    return f'<div class="{kind}"><b>{shown}</b>{noun[count != 1]}<span>{detail}</span></div>'


def _verdict(checkup: Checkup, findings: Findings) -> str:
    leaks = "".join(f"<p>{visible(sentence)}.</p>" for sentence in leak_sentences(checkup))
    if leaks:
        return f'<div class="said failed">{leaks}</div>'
    if _shortcuts(checkup) or any(map(findings.count, GRAVE)):
        return ""
    rest = " What is listed below may be worth a look." if any(map(findings.count, MEANINGS)) else ""
    return f'<div class="said labeled"><p>{_calm(checkup)}{rest}</p></div>'


def _calm(checkup: Checkup) -> str:
    """What is well, as far as it was looked for."""
    said = ["Every file can be used", "no picture stands under two labels"]
    if _has_splits(checkup):
        said.append("none is both learned from and tested on")
    if checkup.guesses:
        said.append("no accident gives a class away")
    return f"{', '.join(said[:-1])}, and {said[-1]}."


def _shortcuts(checkup: Checkup) -> int:
    return sum(guess.is_shortcut for guess in checkup.guesses)


def _has_splits(checkup: Checkup) -> bool:
    return any(photo.split for photo in checkup.looked.photos)
