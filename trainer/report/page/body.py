"""What a training came to as one self-contained HTML page."""

import base64
from collections.abc import Mapping
from typing import Final

from pages.text import visible
from trainer.report.material import ReportMaterial, made_with, settings, size_and_speed
from trainer.report.page.classes import classes_section
from trainer.report.page.confusion import confusion_section
from trainer.report.page.curves import curves_section
from trainer.report.page.data import data_section
from trainer.report.page.heading import figures_section, heading
from trainer.report.page.mistakes import mistakes_section
from trainer.report.page.precision_recall import precision_recall_section
from trainer.report.page.reliability import reliability_section
from trainer.report.page.style import STYLE
from trainer.report.page.suspects import suspects_section
from trainer.report.page.thresholds import thresholds_section
from trainer.report.page.unknown import unknown_section
from worker.page.frame import framed
from worker.page.sections import section

__all__ = ["report_page"]

_ANCHORS: Final = {
    "thresholds": "precision and coverage",
    "mistakes": "mistakes",
    "labels": "label errors",
    "classes": "classes",
    "confusion": "confusion",
    "precision-recall": "precision and recall",
    "calibration": "calibration",
    "unknown": "unknown",
    "curves": "curves",
    "data": "data",
    "batch": "batch",
    "making": "how it was made",
}


def report_page(material: ReportMaterial) -> str:
    """A page with all that a training came to, and photos of it.

    Args:
        material: of a training with one whole epoch or more.

    Returns:
        HTML of about two megabytes at most, however many classes there are, which needs no other file and runs no
        script.
    """
    sections = (
        figures_section(material),
        thresholds_section(material),
        mistakes_section(material),
        suspects_section(material),
        classes_section(material),
        confusion_section(material),
        precision_recall_section(material),
        reliability_section(material),
        unknown_section(material),
        curves_section(material),
        data_section(material),
        _batch(material.train_batch),
        _making(material),
    )
    body = "\n".join(sections)
    return framed(visible(material.args.name), f"{heading(material)}{_contents(body)}\n{body}", STYLE)


def _contents(body: str) -> str:
    """Links to the sections that are there."""
    links = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in _ANCHORS.items() if f'id="{anchor}"' in body)
    return f'<nav aria-label="Sections">{links}</nav>'


def _batch(jpeg: bytes) -> str:
    title = 'A batch <span class="faint">· photos as they were learned from</span>'
    if not jpeg:
        return ""
    data = base64.b64encode(jpeg).decode()
    picture = f'<img alt="A batch of training photos" src="data:image/jpeg;base64,{data}">'
    return section(title, f'<div class="wide">{picture}</div>', "", "batch")


def _making(material: ReportMaterial) -> str:
    made = {name.replace("_", " "): value for name, value in settings(material).items()}
    both = (
        section("Size and speed", _facts(size_and_speed(material.speed))),
        section("How it was made", _facts(made | {"made with": made_with(material)}), "", "making"),
    )
    return f'<div class="pair">{"".join(both)}</div>'


def _facts(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{visible(name)}</dt><dd>{visible(value)}</dd>' for name, value in facts.items())}</dl>"
