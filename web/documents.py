"""What the description of the API (OpenAPI) says of errors and tokens."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import Depends
from fastapi.security import HTTPBearer

__all__ = ["BEARER", "problems"]

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


BEARER: Final = Depends(HTTPBearer(auto_error=False, description="What --token-file holds; none on loopback."))
"""That routes want the token; it is checked before any route is asked."""
