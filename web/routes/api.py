"""What programs ask: label photos. And the page that shows all that they can ask."""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from models.errors import ImageError, InputError
from models.text import one_line
from web.classify_queue import Answer
from web.photo_body import MAX_PHOTOS, Given
from web.problems import API, BEARER, Problem, problems
from web.state import State, WebState
from web.views import page

_LONGEST_MESSAGE: Final = 2000


class _Route(APIRoute):
    """Spares a request without a query FastAPI's look for parameters, which takes as long as all else here."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI's."""
        with_query = super().get_route_handler()

        async def handle(request: Request) -> Response:
            has_query = bool(request.scope["query_string"])
            return await (with_query(request) if has_query else self.endpoint(request, request.app.state.hangtag))

        return handle


router = APIRouter(prefix="/v1", tags=["photos"], dependencies=[BEARER], route_class=_Route)
page_router = APIRouter(include_in_schema=False)


class Likely(BaseModel):
    """One of the likeliest classes."""

    label: str
    confidence: float


class ClassifiedPhoto(BaseModel):
    """What became of one photo. The names are those of a result's columns, as docs/formats.md has them."""

    photo: str = Field(description="The file's name, or the URL.")
    sha256: str | None = Field(description="Of the bytes that were read; null if there were none.")
    model: str | None = Field(description="name/version/variant@digest of the model that was asked.")
    status: str = Field(description="labeled, review or failed.")
    label: str | None
    confidence: float | None
    reason: str | None = Field(description="Why it goes to review: threshold or unknown.")
    threshold: float | None = Field(description="The confidence from which this label needs no review.")
    unknown: float | None = Field(description="The out-of-distribution score, if the model has one.")
    top_k: list[Likely] | None
    error: str | None = Field(description="missing, refused, download, timeout, too_large, unreadable or crashed.")
    error_message: str | None
    decode_ms: float
    inference_ms: float


class Classified(BaseModel):
    """One answer a photo, in the order in which they were sent."""

    photos: list[ClassifiedPhoto]


_EXAMPLE: Final = {
    "photos": [
        {
            "photo": "boot.jpg",
            "sha256": "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
            "model": "shop/3/int8@0f343b0931126a20",
            "status": "labeled",
            "label": "boots",
            "confidence": 0.992,
            "reason": None,
            "threshold": 0.81,
            "unknown": 1.7,
            "top_k": [{"label": "boots", "confidence": 0.992}, {"label": "sandals", "confidence": 0.006}],
            "error": None,
            "error_message": None,
            "decode_ms": 2.1,
            "inference_ms": 3.4,
        }
    ]
}
_URLS: Final = {"urls": ["https://shop.example/photos/1.jpg", "https://shop.example/photos/2.jpg"]}
_BODY: Final = {
    "required": True,
    "description": f"At most {MAX_PHOTOS} photos: files and urls of a form, urls of a JSON object, or one photo.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "urls": {"type": "array", "items": {"type": "string"}},
                },
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "urls": {"type": "array", "minItems": 1, "maxItems": MAX_PHOTOS, "items": {"type": "string"}}
                },
                "required": ["urls"],
                "additionalProperties": False,
            },
            "example": _URLS,
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    },
}


@router.post(
    "/classify",
    responses={
        200: {"model": Classified, "content": {"application/json": {"example": _EXAMPLE}}},
        **problems(400, 408, 413, 415, 422, 429, 503),
    },
    openapi_extra={
        "requestBody": _BODY,
        "x-curl": "curl -F files=@boot.jpg -F files=@sandal.jpg '{base}/v1/classify?top_k=5'",
    },
)
async def classify(
    request: Request,
    state: State,
    top_k: Annotated[int, Query(ge=1, le=1000, description="How many classes to name, best first.")] = 3,
    precision: Annotated[
        float | None,
        Query(gt=0, lt=1, description="How often labeled photos must be right: one of the model's table."),
    ] = None,
    threshold: Annotated[
        float | None,
        Query(gt=0, le=1, description="The confidence from which photos are labeled, instead of a precision."),
    ] = None,
) -> Response:
    """Label photos.

    Each photo has an answer or an error in its place: one bad photo fails no other. URLs are fetched as in a catalogue:
    private addresses are refused, also behind DNS names and redirects. A full queue answers 429 with Retry-After.
    """
    with state.bodies.open() as held:
        given = await state.bodies.read(request, held)
        whole = [photo.data for photo in given if isinstance(photo.data, bytes)]
        try:
            answers = iter(await state.classifier.classify(whole, top_k, precision, threshold))
        except InputError as error:
            raise Problem(422, str(error)) from error
    said = [_of(photo, next(answers)) if isinstance(photo.data, bytes) else _failed(photo, state) for photo in given]
    return Response(json.dumps({"photos": said}), media_type="application/json")


def _of(photo: Given, answer: Answer) -> dict[str, Any]:
    said = answer.prediction
    return {
        "photo": photo.name,
        "sha256": answer.sha256,
        "model": answer.model,
        "status": answer.status,
        "label": said and said.label,
        "confidence": said and said.confidence,
        **({"label_level": said.label_level, "leaf_guess": said.leaf_guess} if said and said.leaf_guess else {}),
        "reason": said and said.reason,
        "threshold": answer.threshold,
        "unknown": said and said.unknown,
        "top_k": said and [{"label": label, "confidence": confidence} for label, confidence in said.top_k],
        "error": answer.fault,
        "error_message": answer.message and one_line(answer.message, _LONGEST_MESSAGE),
        "decode_ms": answer.decode_ms,
        "inference_ms": answer.inference_ms,
    }


def _failed(photo: Given, state: WebState) -> dict[str, Any]:
    """What is told of a photo that did not come."""
    assert isinstance(photo.data, ImageError)  # noqa: S101 - what has come has an answer
    error = photo.data
    state.classifier.figures.note_lost(error.fault)
    return {**_of(photo, Answer("", "", None, error.fault, str(error))), "sha256": None, "model": None}


@dataclass(frozen=True)
class _Operation:
    """A route as the page shows it: ``words`` are paragraphs, ``curl`` is an example."""

    method: str
    path: str
    words: tuple[str, ...]
    curl: str


@page_router.get("/api")
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
