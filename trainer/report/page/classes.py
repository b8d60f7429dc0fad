"""Every class and how well it goes."""

from typing import Final

from pages.text import isolated
from trainer.judging.figures import ClassFigures
from trainer.report.material import ReportMaterial, shown_figures, shown_split
from trainer.report.page.data import LONGEST_LABEL
from trainer.report.page.table import rate_cell, table
from worker.page.sections import more, section

__all__ = ["classes_section"]

_MOST: Final = 30


def classes_section(material: ReportMaterial) -> str:
    """The worst first; those without photos to measure on last."""
    figures = shown_figures(material)
    if not figures:
        return ""
    order = sorted(figures.classes.items(), key=lambda item: (not item[1].support, item[1].f1, item[0]))
    rows = "".join(_row(name, one) for name, one in order[:_MOST])
    head = '<th>class</th><th class="n">photos</th><th>precision</th><th>recall</th><th>F1</th>'
    rest = more(len(order) - _MOST, "class", "classes", "evaluation.json")
    title = f'Classes <span class="faint">· {shown_split(material).word}, the worst first</span>'
    return section(title, table("figures", head, rows) + rest, "long", "classes")


def _row(name: str, one: ClassFigures) -> str:
    label = f"<td>{isolated(name, LONGEST_LABEL)}</td>"
    if not one.support:
        return f'<tr>{label}<td class="n badge">0</td><td class="faint" colspan="3">no photo to measure it on</td></tr>'
    cells = rate_cell("precision", one.precision, one.precision_95) + rate_cell("recall", one.recall, one.recall_95)
    last = rate_cell("F1", one.f1, one.f1_95)
    return f'<tr>{label}<td class="n" data-name="photos">{one.support:,}</td>{cells}{last}</tr>'
