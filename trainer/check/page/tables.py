"""The tables of a check's page: its issues, its guesses, its classes, and files that have no picture."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from models.text import number_of
from pages.text import isolated, share, visible
from trainer.check.check_reports import MEANINGS
from trainer.check.checkup import Checkup, Findings
from trainer.check.issues import Issue
from trainer.check.page.album import LONGEST_LABEL, Album
from trainer.check.shortcuts import Guess
from trainer.data.dataset import Split

__all__ = ["class_table", "file_table", "guess_table", "issue_table", "more", "words"]

_MOST_CLASSES: Final = 100


def words(issue: Issue) -> str:
    """An issue's name for people."""
    return issue.replace("_", " ")


def more(count: int, one: str, many: str, where: str = "check.csv") -> str:
    """What a page leaves out, and where it is; nothing where it leaves nothing out."""
    if count <= 0:
        return ""
    return f'<p class="more faint">and {number_of(count, f"more {one}", f"more {many}")}: see <code>{where}</code></p>'


def issue_table(findings: Findings, images: int) -> str:
    """Every issue that was found, with a link to its section; and the names of the others."""
    counts = {issue: findings.count(issue) for issue in MEANINGS}
    most = max(counts.values()) or 1
    rows = "".join(
        f'<tr><td><a href="#{issue}">{words(issue)}</a></td><td class="n">{count:,}</td>'
        f'<td class="n">{share(count, images)}</td>'
        f'<td class="line"><span style="width: {100 * count / most:.1f}%"></span></td>'
        f'<td class="meaning faint">{visible(MEANINGS[issue])}</td></tr>'
        for issue, count in counts.items()
        if count
    )
    absent = ", ".join(words(issue) for issue, count in counts.items() if not count)
    note = f'<p class="faint">Looked for and not found: {absent}.</p>' if absent else ""
    head = (
        '<th>issue</th><th class="n">images</th><th class="n">share</th><th class="line"></th><th class="meaning"></th>'
    )
    return (_table("issues", head, rows) if rows else "") + note


def guess_table(guesses: Iterable[Guess]) -> str:
    """How well each accident gives the classes away, beside the commonest class: a bar, and a stroke across it."""
    head = (
        '<th>guessed from</th><th class="n">right</th><th class="n">commonest</th><th class="line"></th>'
        "<th>tells apart best</th>"
    )
    return f'<div class="wide">{_table("guesses", head, "".join(map(_guess, guesses)))}</div>'


def _guess(guess: Guess) -> str:
    one, other = (isolated(name, LONGEST_LABEL) for name in guess.pair)
    kind = ' class="shortcut"' if guess.is_shortcut else ""
    bar = f'<span style="width: {guess.accuracy:.1%}"></span><i style="left: {guess.majority:.1%}"></i>'
    pair = f'{one} from {other} <span class="faint">{guess.pair_accuracy:.2f} against {guess.pair_majority:.2f}</span>'
    named = guess.pair_stands_out or guess.classes == len(guess.pair)
    return (
        f'<tr{kind}><td>{visible(guess.feature)}</td><td class="n">{guess.accuracy:.2f}</td>'
        f'<td class="n">{guess.majority:.2f}</td><td class="line"><div class="meter">{bar}</div></td>'
        f"<td>{pair if named else ''}</td></tr>"
    )


def class_table(checkup: Checkup, findings: Findings) -> str:
    """Every class: its images in each split, how many have an issue, how many cannot be used, and what most share."""
    photos, classes = checkup.looked.photos, checkup.dataset.classes
    splits = [split for split in (*Split, None) if any(photo.split is split for photo in photos)]
    sizes = Counter((photo.label, photo.split) for photo in photos)
    flagged = Counter(photos[place].label for place in _flagged(findings))
    faulty = Counter(faulty.photo.label for faulty in checkup.looked.faulty)
    rows = ""
    for name in classes[:_MOST_CLASSES]:
        counts = "".join(_number(sizes[name, split], "badge") for split in splits)
        counts += _number(flagged[name], "faint") + _number(faulty[name], "faint")
        rows += f"<tr><td>{isolated(name, LONGEST_LABEL)}</td>{counts}<td>{_properties(checkup, name)}</td></tr>"
    heads = [*(split or "images" for split in splits), "issues", "unusable"]
    numbers = "".join(f'<th class="n">{name}</th>' for name in heads)
    head = f"<th>class</th>{numbers}<th>{_common(checkup)}</th>"
    rest = more(len(classes) - _MOST_CLASSES, "class", "classes")
    return f'<div class="wide">{_table("classes", head, rows)}</div>{rest}'


def _flagged(findings: Findings) -> list[int]:
    return [int(place) for place in np.flatnonzero(np.any(list(findings.flags.values()), axis=0))]


def _number(count: int, kind_of_zero: str) -> str:
    return f'<td class="n">{count:,}</td>' if count else f'<td class="n {kind_of_zero}">0</td>'


def _common(checkup: Checkup) -> str:
    return "what most of them are" if checkup.judgement.properties else ""


def _properties(checkup: Checkup, label: str) -> str:
    properties = checkup.judgement.properties.get(label, {})
    return ", ".join(f"{words(issue)} ({part:.0%})" for issue, part in properties.items())


def file_table(album: Album, files: Iterable[tuple[Path, str]]) -> str:
    """Files that have no picture: never opened here, since one of them may bring down whoever decodes it."""
    rows = "".join(
        f'<tr><td class="image"><code>{isolated(album.inside(path))}</code></td>'
        f'<td dir="auto">{visible(message)}</td></tr>'
        for path, message in files
    )
    return _table("examples", '<th class="image">file</th><th>what is wrong</th>', rows)


def _table(kind: str, head: str, rows: str) -> str:
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
