"""Writes the page about a cycle."""

from pathlib import Path
from typing import Final

from models.whole_file import replace_file
from trainer.retrain.cycle_folder import Outcome
from trainer.retrain.report.body import cycle_page
from trainer.retrain.report.material import read_material

__all__ = ["REPORT_FILE", "write_report"]

REPORT_FILE: Final = "report.html"


def write_report(folder: Path, outcome: Outcome) -> Path:
    """Write ``report.html`` into a cycle's folder, whole; one that is there is replaced.

    Args:
        folder: of the cycle; photos that are named in it are opened where they are still there.
        outcome: of the cycle.

    Returns:
        The page.

    Raises:
        InputError: a file that a step left is damaged.
    """
    page = folder / REPORT_FILE
    replace_file(page, cycle_page(read_material(folder, outcome)).encode())
    return page
