"""Photos whose label is likely wrong."""

from typing import Final

from models.preprocess import Pixels
from models.text import number_of
from pages.text import isolated
from trainer.judging.label_errors import LabelIssue
from trainer.report.material import ReportMaterial
from trainer.report.page.album import named, tile
from trainer.report.page.data import LONGEST_LABEL
from worker.page.sections import more, section

__all__ = ["suspects_section"]

_MOST: Final = 24


_NOTE: Final = (
    "A small classifier on the network's features, fitted without the photo, thinks little of its label: its "
    "probabilities are shown. Look, and correct what is wrong."
)


def suspects_section(material: ReportMaterial) -> str:
    """The likeliest errors first."""
    issues = material.issues
    count = number_of(len(issues), "photo", "photos")
    title = f'Likely label errors <span class="faint">· {count}</span>' if issues else "Likely label errors"
    if not issues:
        return section(title, '<p class="faint">None was found.</p>', "", "labels")
    shown = issues[:_MOST]
    pixels = material.pixels([issue.photo.sha256 for issue in shown])
    tiles = "".join(_tile(issue, photo) for issue, photo in zip(shown, pixels, strict=True))
    rest = more(len(issues) - len(shown), "photo", "photos", "label_issues.csv")
    body = f'<p class="faint">{_NOTE}</p><div class="tiles">{tiles}</div>{rest}'
    return section(title, body, "long", "labels")


def _tile(issue: LabelIssue, pixels: Pixels) -> str:
    given = f"labelled {isolated(issue.given, LONGEST_LABEL)}, {issue.given_probability:.2f}"
    place = f"{issue.photo.split.word} · {named(issue.photo)}"
    suggested = f"{isolated(issue.suggested, LONGEST_LABEL)}? {issue.suggested_probability:.2f}"
    return tile((pixels,), suggested, (given, place), "review")
