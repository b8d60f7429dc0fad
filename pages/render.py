"""Renders the templates. All values are escaped. A missing value is an error."""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from markupsafe import Markup

from models.text import number_of
from models.whole_file import replace_file
from pages import charts
from pages.text import between, duration, isolated, percent, rounded, sentence, share, target_name, visible

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES: Final = Path(__file__).parent / "templates"
_SHARED: Final = ("style.css", "base.html", "macros.html")


def render(template: str, **values: object) -> str:
    """Render a self-contained page from a template in ``templates/``.

    All text is escaped by :func:`pages.text.visible`, even without a filter.
    """
    return _environment().get_template(template).render(values)


def prepare(template: str) -> None:
    """Compile a template before its first use. Thread-safe."""
    for name in (*_SHARED, template):
        _environment().get_template(name)


def style_sheet() -> str:
    """The style sheet in each page."""
    return (_TEMPLATES / "style.css").read_text(encoding="utf-8")


def table_script() -> str:
    """The script in each page, which sorts and filters tables."""
    return (_TEMPLATES / "tables.js").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # slow, and most processes render no page

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "between": between,
        "duration": duration,
        "isolated": isolated,
        "number": "{:,}".format,
        "percent": percent,
        "rounded": rounded,
        "sentence": sentence,
        "share": share,
        "target_name": target_name,
        "visible": visible,
    }
    script = table_script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {
        "charts": charts,
        "number_of": number_of,
        "script": Markup(script),  # noqa: S704 - our own file
        "script_hash": f"sha256-{digest}",
    }
    return environment


def _shown(value: object) -> object:
    is_text = isinstance(value, str | PurePath) and not isinstance(value, Markup)
    return visible(str(value)) if is_text else value


_MOST_UP: Final = 3
_LATER: Final = re.compile(r"(<!--links-->).*?(<!--/links-->)", re.DOTALL)


def near(page: Path, targets: Mapping[str, Path]) -> dict[str, str]:
    """Links from ``page`` to the ``targets`` that exist: relative addresses by link text.

    Leaves out addresses that go up more than three folders, or to the root of the disk.
    """
    start, found = page.parent.absolute(), {}
    for words, target in targets.items():
        place = os.path.relpath(target.absolute(), start)
        ups = place.split("/").count("..")
        if target.exists() and ups <= _MOST_UP and ups < len(start.parts) - 1:
            found[words] = quote(place)
    return found


def add_links(page: Path, targets: Mapping[str, Path]) -> None:
    """Write links into an existing page. Links from an earlier call are replaced."""
    if not page.is_file():
        return
    link = Markup('<a class="file" href="{}">{}</a>')
    links = "".join(link.format(place, visible(words)) for words, place in near(page, targets).items())
    html = page.read_text(encoding="utf-8")
    replace_file(page, _LATER.sub(lambda old: f"{old[1]}{links}{old[2]}", html, count=1).encode())
