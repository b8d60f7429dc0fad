"""The page that shows what programs can ask."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from web.problems import API
from web.state import State
from web.views import page

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class _Operation:
    """A route as the page shows it: ``words`` are paragraphs, ``curl`` is an example."""

    method: str
    path: str
    words: tuple[str, ...]
    curl: str


@router.get("/api")
def api_page(request: Request, state: State) -> HTMLResponse:
    """The routes that have an example."""
    base = str(request.base_url).rstrip("/")
    header = "-H 'Authorization: Bearer TOKEN' " if state.settings.token else ""
    described = request.app.openapi()["paths"]
    operations = [
        _operation(method, path, operation, base, header)
        for path, methods in sorted(described.items(), key=lambda item: not item[0].startswith(API))
        for method, operation in methods.items()
        if "x-curl" in operation
    ]
    return HTMLResponse(page(request, "web/api.html", operations=operations, model=state.classifier.model, base=base))


def _operation(method: str, path: str, told: dict[str, Any], base: str, header: str) -> _Operation:
    curl = told["x-curl"].replace("{base}", base).replace("curl ", f"curl {header}", 1)
    paragraphs = tuple(" ".join(paragraph.split()) for paragraph in told["description"].split("\n\n"))
    return _Operation(method.upper(), path, paragraphs, curl)
