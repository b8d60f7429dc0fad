"""What a check found as one self-contained HTML page."""

from typing import Final

from models.text import number_of
from pages.text import isolated, visible
from trainer.check.check_reports import shortcut_sentences
from trainer.check.checkup import Checkup, Findings
from trainer.check.page.album import Album
from trainer.check.page.groups import issue_sections
from trainer.check.page.heading import heading, images_of
from trainer.check.page.style import STYLE
from trainer.check.page.tables import class_table, file_table, guess_table, issue_table, more
from worker.page.frame import framed
from worker.page.sections import section

__all__ = ["check_page"]

_MOST_IGNORED: Final = 12


def check_page(checkup: Checkup, findings: Findings) -> str:
    """A page with all that was found, and photos of it.

    Args:
        checkup: what was looked at. Its usable photos are opened, a few hundred at most; one that is gone is a tile
            without a picture. Its faulty files are not opened: they may bring down whoever decodes them.
        findings: of that checkup.

    Returns:
        HTML of about three megabytes at most, which needs no other file and runs no script.
    """
    album = Album(checkup)
    images, folder = number_of(images_of(checkup), "image", "images"), checkup.dataset.source.name
    body = (
        heading(f"{images} of {isolated(folder)}", checkup, findings),
        section("Issues", issue_table(findings, images_of(checkup))),
        _shortcuts(checkup),
        _classes(checkup, findings),
        issue_sections(checkup, findings, album),
        _ignored(checkup, album),
    )
    return framed(f"{images} of {visible(folder)}", "\n".join(body), STYLE)


def _shortcuts(checkup: Checkup) -> str:
    title = 'Shortcuts <span class="faint">· can the class be told from what is not the product?</span>'
    if not checkup.guesses:
        return section(title, '<p class="faint">There are too few images to tell.</p>')
    sentences = "".join(f"<p>{isolated(f'{text[:1].upper()}{text[1:]}.')}</p>" for text in shortcut_sentences(checkup))
    said = f'<div class="said">{sentences}</div>' if sentences else "<p>No accident gives a class away.</p>"
    return section(title, said + guess_table(checkup.guesses))


def _classes(checkup: Checkup, findings: Findings) -> str:
    title = f'Classes <span class="faint">· {len(checkup.dataset.classes):,}</span>'
    return section(title, class_table(checkup, findings), "long")


def _ignored(checkup: Checkup, album: Album) -> str:
    if not checkup.ignored:
        return ""
    count = number_of(len(checkup.ignored), "file", "files")
    title = f'Left out <span class="faint">· {count} not looked at</span>'
    files = [(ignored.path, ignored.message) for ignored in checkup.ignored[:_MOST_IGNORED]]
    rest = more(len(checkup.ignored) - _MOST_IGNORED, "file", "files", "check.json")
    return section(title, file_table(album, files) + rest, "long")
