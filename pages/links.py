"""Links from a page to files near it: relative, and only to what is there."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from markupsafe import Markup

from models.whole_file import replace_file
from pages.text import visible

_MOST_UP: Final = 3
_LATER: Final = re.compile(r"(<!--links-->).*?(<!--/links-->)", re.DOTALL)


def near(page: Path, targets: Mapping[str, Path]) -> dict[str, str]:
    """The targets (words → file) that are there and near, as addresses relative to a page.

    Near is what lies in the page's folder, or in one of the three above it, but not in the whole disk's: such a link
    holds on when the folder that has both is moved.
    """
    start, found = page.parent.absolute(), {}
    for words, target in targets.items():
        place = os.path.relpath(target.absolute(), start)
        ups = place.split("/").count("..")
        if target.exists() and ups <= _MOST_UP and ups < len(start.parts) - 1:
            found[words] = quote(place)
    return found


def add_links(page: Path, targets: Mapping[str, Path]) -> None:
    """Write links into a page that is there already, in the place of those that this wrote before."""
    if not page.is_file():
        return
    link = Markup('<a class="file" href="{}">{}</a>')
    links = "".join(link.format(place, visible(words)) for words, place in near(page, targets).items())
    html = page.read_text(encoding="utf-8")
    replace_file(page, _LATER.sub(lambda old: f"{old[1]}{links}{old[2]}", html, count=1).encode())
