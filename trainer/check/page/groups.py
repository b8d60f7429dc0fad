"""The issues of a check's page, those first that matter most, each with some of its photos."""

from typing import Final

from models.text import number_of
from trainer.check.check_reports import MEANINGS
from trainer.check.checkup import Checkup, Findings
from trainer.check.issues import LIMITS, Issue
from trainer.check.page.album import Album
from trainer.check.page.couples import COUPLES, couples, placeholders
from trainer.check.page.tables import file_table, more, words
from worker.page.sections import section

__all__ = ["MOST_FILES", "MOST_TILES", "issue_sections"]

MOST_TILES: Final = 24
MOST_FILES: Final = 12

_PIXELS: Final = "{width:,}×{height:,} px"
_FACTS: Final = {
    Issue.TOO_SMALL: _PIXELS,
    Issue.ODD_SIZE: _PIXELS,
    Issue.ODD_ASPECT_RATIO: _PIXELS,
    Issue.WRONG_EXTENSION: "it is a {format}",
    Issue.EXIF_ROTATED: "orientation {orientation}",
    Issue.CMYK: "{mode}",
}
"""What a tile tells besides the score: columns of :class:`trainer.data.image_statistics.Look`."""


def issue_sections(checkup: Checkup, findings: Findings, album: Album) -> str:
    """A section for each issue that was found; its anchor is the issue's name."""
    return "\n".join(_section(issue, checkup, findings, album) for issue in MEANINGS if findings.count(issue))


def _section(issue: Issue, checkup: Checkup, findings: Findings, album: Album) -> str:
    images = number_of(findings.count(issue), "image", "images")
    title = f'{words(issue).capitalize()} <span class="faint">· {images}: {MEANINGS[issue]}</span>'
    if issue in COUPLES:
        shown = couples(COUPLES[issue](checkup), album)
    elif issue is Issue.PLACEHOLDER:
        shown = placeholders(checkup, album, MOST_TILES)
    else:
        shown = _tiles(issue, checkup, findings, album) + _files(issue, findings, album)
    return section(title, shown, "long", issue)


def _tiles(issue: Issue, checkup: Checkup, findings: Findings, album: Album) -> str:
    """The worst first, each picture once."""
    places = findings.places(issue)
    if not places:
        return ""
    pixels = checkup.looks["pixels"].to_pylist()
    copies: dict[str, list[int]] = {}
    for place in places:
        copies.setdefault(pixels[place], []).append(place)
    shown = list(copies.values())[:MOST_TILES]
    tiles = "".join(album.tile(same[0], *_notes(issue, same, checkup, findings)) for same in shown)
    rest = more(len(places) - sum(map(len, shown)), "image", "images")
    return f'{_limit(issue)}<div class="tiles">{tiles}</div>{rest}'


def _limit(issue: Issue) -> str:
    """What the scores of a graded issue mean."""
    if issue not in LIMITS:
        return ""
    return f'<p class="faint">The lowest scores first; below {LIMITS[issue]:g} is an issue.</p>'


def _notes(issue: Issue, same: list[int], checkup: Checkup, findings: Findings) -> list[str]:
    seen = checkup.looks.slice(same[0], 1).to_pylist()[0]
    score = f"score {findings.scores[issue][same[0]]:.2f}" if issue in LIMITS else ""
    copies = f"{len(same):,} images like this" if len(same) > 1 else ""
    return [copies, score, _FACTS.get(issue, "").format(**seen)]


def _files(issue: Issue, findings: Findings, album: Album) -> str:
    faulty = findings.faulty.get(issue, ())
    if not faulty:
        return ""
    files = [(one.photo.path, one.fault.message) for one in faulty[:MOST_FILES]]
    return file_table(album, files) + more(len(faulty) - MOST_FILES, "file", "files")
