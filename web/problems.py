"""Errors as browsers and programs get them: a page, or a problem document (RFC 9457); and as OpenAPI describes them."""

import errno
import json
from http import HTTPStatus
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from models.errors import BundleError, BusyError, HangtagError, InputError, JobError, RegistryError
from web.jobs import NoSuchJobError
from web.views import page

_STATUSES: Final[dict[type[HangtagError] | tuple[type[HangtagError], ...], HTTPStatus]] = {
    NoSuchJobError: HTTPStatus.NOT_FOUND,
    (BusyError, JobError, BundleError, RegistryError): HTTPStatus.CONFLICT,
    InputError: HTTPStatus.BAD_REQUEST,
}
"""Kinds of errors → status; the first that fits is the one."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
API = "/v1/"
"""Where what programs ask begins."""


class Problem(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        detail: what was expected, what came, and what to do.
        headers: of the answer, such as ``Retry-After``.
        more: further members of the document.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **more: object) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, headers or {}, more


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None, **more: object) -> Response:
    """The document of RFC 9457, in ASCII: what a request holds may be no text."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return Response(json.dumps(body), status, headers, media_type="application/problem+json")


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error that is raised on purpose be told, and no other."""

    @app.exception_handler(Problem)
    def _problem(request: Request, error: Problem) -> Response:
        return answer(request, error.status, error.detail, error.headers, error.more)

    @app.exception_handler(OSError)
    def _system(request: Request, error: OSError) -> Response:
        if error.errno not in _NO_ROOM:
            raise error
        said = f"The disk of the server is full ({error.strerror}); make room for jobs, and try again."
        return answer(request, HTTPStatus.INSUFFICIENT_STORAGE, said)

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, OSError):  # while a file that is sent was kept
            return _system(request, error.__cause__)
        return answer(request, error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = [{"where": list(item["loc"]), "what": item["msg"]} for item in error.errors()]
        said = "; ".join(f"{'.'.join(map(str, item['where']))}: {item['what']}" for item in wrong)
        return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, said, {}, {"errors": jsonable_encoder(wrong)})

    @app.exception_handler(HangtagError)
    def _hangtag(request: Request, error: HangtagError) -> Response:
        status = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), None)
        return answer(request, status or HTTPStatus.INTERNAL_SERVER_ERROR, str(error))


def answer(
    request: Request,
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    more: dict[str, Any] | None = None,
) -> Response:
    """An error as who asks can read it: a page for a person, a problem document for a program."""
    headers, more = headers or {}, more or {}
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    wants_page = "text/html" in request.headers.get("accept", "") and not path.startswith(API)
    if not wants_page or "hx-request" in request.headers:
        return problem_response(status, detail, headers, **more)
    html = page(request, "web/problem.html", status=status, title=HTTPStatus(status).phrase, detail=detail)
    return HTMLResponse(html, status, headers)


_PROBLEM: Final = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was expected, what came, and what to do."},
    },
    "required": ["type", "title", "status", "detail"],
}
_DETAILS: Final = {
    400: "Expected a request that can be read; see its form.",
    401: "Expected the header Authorization: Bearer TOKEN.",
    403: "Expected a request of this page, got one of another site.",
    404: "Expected a job 'spring' in jobs, found none; it may have been deleted.",
    408: "The photos did not come within 120 s; send fewer at once.",
    409: "There is a job spring already, and it is not this one.",
    413: "Expected at most 256 photos in a request, got more; send fewer at once.",
    415: "Expected multipart/form-data, got text/plain.",
    421: "Expected a Host that this server is known by; add it with --name.",
    422: "Expected precision to be one of 0.95, 0.98, got 0.5.",
    429: "Too many photos wait (512); try again in 3 seconds.",
    503: "The model is being loaded; try again.",
    507: "The disk of the server is full (No space left on device); make room for jobs, and try again.",
}
_ANYWHERE: Final = (401, 403, 421, 429)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route answers that fails, for its ``responses``: those statuses, and those that any request may get."""
    return {status: _problem(status) for status in sorted({*statuses, *_ANYWHERE})}


def _problem(status: int) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    example = {"type": "about:blank", "title": title, "status": status, "detail": _DETAILS[status]}
    answer: dict[str, Any] = {"application/problem+json": {"schema": _PROBLEM, "example": example}}
    described: dict[str, Any] = {"description": title, "content": answer}
    if status in {429, 503}:
        described["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return described


BEARER: Final = Depends(HTTPBearer(auto_error=False, description="The token in --token-file; none on loopback."))
"""That routes want the token; it is checked before any route is asked."""
