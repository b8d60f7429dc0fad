"""What a cycle came to as one self-contained HTML page."""

from typing import Final

from pages.text import visible
from trainer.retrain.report.changes import changes_section
from trainer.retrain.report.checks import checks_section
from trainer.retrain.report.classes import classes_section
from trainer.retrain.report.costs import costs_section, links_section, timings_section
from trainer.retrain.report.heading import heading
from trainer.retrain.report.learned import corrections_section, learned_section
from trainer.retrain.report.material import CycleMaterial
from trainer.retrain.report.style import CYCLE_STYLE, STYLE
from worker.catalogue_diff.section import CATALOGUE_STYLE, catalogue_section
from worker.page.frame import framed

__all__ = ["cycle_page"]

_ANCHORS: Final = {
    "gate": "gate",
    "classes": "classes",
    "photos": "test photos",
    "catalogue": "your catalogue",
    "learned": "learned from",
    "corrections": "corrections",
    "costs": "calibration, review load, size, speed",
    "time": "time",
    "more": "more",
}


def cycle_page(material: CycleMaterial) -> str:
    """A page with all that a cycle came to, and photos of it.

    Args:
        material: of a cycle that is over; what it lacks has no section.

    Returns:
        HTML of less than a megabyte, which needs no other file and runs no script.
    """
    diff = material.catalogue
    sections = (
        checks_section(material),
        classes_section(material),
        changes_section(material),
        catalogue_section(diff, diff.changed_share_95) if diff else "",
        learned_section(material),
        corrections_section(material),
        costs_section(material),
        timings_section(material),
        links_section(material),
    )
    body = "\n".join(sections)
    title = f"{visible(material.outcome.name)}, cycle {material.outcome.number}"
    return framed(title, f"{heading(material)}{_contents(body)}\n{body}", STYLE + CATALOGUE_STYLE + CYCLE_STYLE)


def _contents(body: str) -> str:
    """Links to the sections that are there."""
    links = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in _ANCHORS.items() if f'id="{anchor}"' in body)
    return f'<nav aria-label="Sections">{links}</nav>'
