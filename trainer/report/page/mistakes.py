"""The mistakes that the network is surest of, and where it looked."""

from typing import Final

import numpy as np

from models.text import number_of
from pages.text import isolated
from trainer.report.material import ReportMaterial, judged_of, shown_split
from trainer.report.page.album import named, tile
from trainer.report.page.data import LONGEST_LABEL
from trainer.report.page.overlay import overlay
from worker.page.sections import more, section

__all__ = ["mistakes_section"]

_MOST: Final = 24


def mistakes_section(material: ReportMaterial) -> str:
    """The surest first, each with a heat map of what spoke for the wrong class."""
    judged, split = judged_of(material), shown_split(material).word
    said = judged.probabilities.argmax(axis=1)
    sure = judged.probabilities.max(axis=1)
    wrong = np.flatnonzero(said != judged.labels)
    count = f"{len(wrong):,} of {number_of(len(judged.labels), f'{split} photo', f'{split} photos')}"
    title = f'Most confident mistakes <span class="faint">· {count}</span>'
    if not len(wrong):
        return section(title, '<p class="faint">Every photo was recognised.</p>', "", "mistakes")
    places = [int(place) for place in wrong[np.argsort(-sure[wrong], kind="stable")][:_MOST]]
    pixels = material.pixels([judged.photos[place].sha256 for place in places])
    heats = material.heat(pixels, [int(said[place]) for place in places])
    classes = material.args.classes
    tiles = "".join(
        tile(
            (photo, overlay(photo, heat)),
            f"said {isolated(classes[said[place]], LONGEST_LABEL)}, {sure[place]:.2f} sure",
            (f"is {isolated(classes[judged.labels[place]], LONGEST_LABEL)}", named(judged.photos[place])),
            "failed",
        )
        for place, photo, heat in zip(places, pixels, heats, strict=True)
    )
    note = "What the network sees of the photo, and beside it, the brighter the more, what spoke for the wrong class."
    rest = more(len(wrong) - len(places), "mistake", "mistakes", "predictions.csv")
    body = f'<p class="faint">{note}</p><div class="tiles twos">{tiles}</div>{rest}'
    return section(title, body, "long", "mistakes")
