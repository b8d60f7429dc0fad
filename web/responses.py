"""HTTP responses for pages and errors. An error is a page or a problem document (RFC 9457)."""

import errno
import json
import re
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

from fastapi import Depends, FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from models.errors import DISK_FULL, BundleError, BusyError, HangtagError, InputError, JobError, RegistryError
from models.text import one_line, without_file_links, without_secrets
from pages.render import render
from web.jobs import NoSuchJobError

REVIEWER_COOKIE: Final = "hangtag_reviewer"
_STORED_CSP: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPT: Final = re.compile(rb"<script>(?:.*?</script>|.*)", re.DOTALL)
_NAVIGATION: Final = {"try": "Try", "models": "Models", "jobs": "Jobs", "review": "Review", "api": "API"}
_STATUSES: Final[dict[type[HangtagError] | tuple[type[HangtagError], ...], HTTPStatus]] = {
    NoSuchJobError: HTTPStatus.NOT_FOUND,
    (BusyError, JobError, BundleError, RegistryError): HTTPStatus.CONFLICT,
    InputError: HTTPStatus.BAD_REQUEST,
    HangtagError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""HTTP status of each exception class. The first matching class is used."""
_NO_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})
API: Final = "/v1/"
BEARER: Final = Depends(HTTPBearer(auto_error=False, description="The token in --token-file; not needed on loopback."))
"""Adds the token to the API's description. :mod:`web.security` checks the token."""
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "An error: a problem document (RFC 9457). After 429 and 503, wait for Retry-After seconds.",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {
                            "type": "string",
                            "description": "What was expected, what was received, and what to do.",
                        },
                    },
                    "required": ["type", "title", "status", "detail"],
                }
            }
        },
    }
}
"""The error responses of all routes, for FastAPI."""


def page(request: Request, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """Render an HTML page as a response.

    Args:
        request: a request with the proxy's path prefix and the reviewer's cookie.
        template: a file of ``pages/templates/``.
        status: HTTP status.
        values: values for the template, besides ``root``, ``reviewer``, ``here`` and ``navigation``.
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
    """Serve stored HTML, such as a report. The page cannot run scripts or load files."""
    return HTMLResponse(
        _SCRIPT.sub(b"", without_file_links(html)),
        headers={"content-security-policy": _STORED_CSP, "cache-control": "no-store"},
    )


def reviewer_of(request: Request) -> str:
    """The reviewer's name in this browser, or an empty text."""
    return unquote(request.cookies.get(REVIEWER_COOKIE, "")).strip()[:64]


class Problem(Exception):
    """An HTTP error response.

    Args:
        status: HTTP status.
        detail: what was expected, what was received, and what to do.
        headers: response headers, such as ``Retry-After``.
        more: further fields of the problem document.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **more: object) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, headers or {}, more


def add_problem_handlers(app: FastAPI) -> None:
    """Turn exceptions into error responses."""

    def answer(request: Request, error: Exception) -> Response:
        return respond(request, _problem_of(error))

    for kind in (Problem, OSError, HTTPException, RequestValidationError, HangtagError):
        app.add_exception_handler(kind, answer)


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, HTTPException) and isinstance(error.__cause__, OSError):
        error = error.__cause__  # an upload could not be written
    match error:
        case Problem():
            return error
        case OSError() if error.errno in DISK_FULL:
            words = f"The disk of the server is full ({error.strerror}); free some space, and try again."
            return Problem(HTTPStatus.INSUFFICIENT_STORAGE, words)
        case OSError() if error.errno in _NO_NAME:
            got = one_line(str(error.filename), 80)
            words = f"Expected a valid file name, got {got!r} ({error.strerror}); use a shorter name."
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, words)
        case HTTPException():
            return Problem(error.status_code, str(error.detail), dict(error.headers or {}))
        case RequestValidationError():
            errors = [{"where": list(item["loc"]), "what": item["msg"]} for item in error.errors()]
            words = "; ".join(f"{'.'.join(map(str, item['where']))}: {item['what']}" for item in errors)
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, words, errors=jsonable_encoder(errors))
        case HangtagError():
            status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
            return Problem(status, without_secrets(str(error)))
    raise error


def respond(request: Request, problem: Problem) -> Response:
    """A page for a person, a problem document for a program."""
    title = HTTPStatus(problem.status).phrase
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if "text/html" in request.headers.get("accept", "") and not path.startswith(API):
        shown = page(request, "web/problem.html", problem.status, title=title, detail=problem.detail)
        shown.headers.update(problem.headers)
        return shown
    fields = {"type": "about:blank", "title": title, "status": problem.status, "detail": problem.detail, **problem.more}
    document = json.dumps(fields)  # escapes invalid Unicode from the request
    return Response(document, problem.status, problem.headers, media_type="application/problem+json")
