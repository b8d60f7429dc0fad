"""Pages: a template of ``pages/``, with what every page needs."""

import re
from typing import Final
from urllib.parse import unquote

from fastapi import Request
from fastapi.responses import HTMLResponse

from models.text import without_file_links
from pages.render import render

REVIEWER_COOKIE: Final = "hangtag_reviewer"
_STORED_CSP: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPT: Final = re.compile(rb"<script>.*?</script>", re.DOTALL)
_NAVIGATION: Final = {"try": "Try", "models": "Models", "jobs": "Jobs", "review": "Review", "api": "API"}


def page(request: Request, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """A whole page as an answer.

    Args:
        request: says what a proxy puts before every path, and whose browser asks.
        template: a file of ``pages/templates/``.
        status: of HTTP.
        values: what the template names, besides ``root`` (what stands before each path), ``reviewer`` (the browser's
            user, or an empty text), ``here`` (the first part of the path) and ``navigation``.
    """
    root = request.scope.get("root_path", "")
    html = render(
        template,
        root=root,
        reviewer=reviewer_of(request),
        here=request.url.path.removeprefix(root).strip("/").partition("/")[0],
        navigation=_NAVIGATION,
        **values,
    )
    return HTMLResponse(html, status)


def stored_page(html: bytes) -> HTMLResponse:
    """A whole page that was stored, such as a report: it may run nothing and load nothing, from here or elsewhere."""
    return HTMLResponse(
        _SCRIPT.sub(b"", without_file_links(html)),
        headers={"content-security-policy": _STORED_CSP, "cache-control": "no-store"},
    )


def reviewer_of(request: Request) -> str:
    """The name that the user of this browser has given, or an empty text."""
    return unquote(request.cookies.get(REVIEWER_COOKIE, "")).strip()[:64]
