"""Pages: a template of ``pages/``, with what every page needs."""

import re
from urllib.parse import unquote

from fastapi import Request
from fastapi.responses import HTMLResponse

from models.text import without_file_links
from pages.render import render

REVIEWER_COOKIE = "hangtag_reviewer"
_STORED_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPT = re.compile(rb"<script>.*?</script>", re.DOTALL)
NAVIGATION = {"try": "Try", "models": "Models", "jobs": "Jobs", "review": "Review", "api": "API"}


def page(request: Request, template: str, **values: object) -> str:
    """A whole page, or a part of one.

    Args:
        request: says who asks, and what a proxy puts before every path.
        template: a file of ``pages/templates/``.
        values: what the template names, besides ``root`` (what stands before each path), ``csrf`` (the token of this
            browser), ``reviewer`` (its user's name or an empty text), ``here`` (the first part of the path) and
            ``navigation``.
    """
    root = request.scope.get("root_path", "")
    return render(
        template,
        root=root,
        csrf=request.state.csrf if hasattr(request.state, "csrf") else "",
        reviewer=reviewer_of(request),
        here=request.url.path.removeprefix(root).strip("/").partition("/")[0],
        navigation=NAVIGATION,
        **values,
    )


def stored_page(html: bytes) -> HTMLResponse:
    """A whole page that was stored, such as a report: it may run nothing and load nothing, from here or elsewhere."""
    return HTMLResponse(
        _SCRIPT.sub(b"", without_file_links(html)),
        headers={"content-security-policy": _STORED_CSP, "cache-control": "no-store"},
    )


def reviewer_of(request: Request) -> str:
    """The name that the user of this browser has given, or an empty text."""
    return unquote(request.cookies.get(REVIEWER_COOKIE, "")).strip()[:64]
