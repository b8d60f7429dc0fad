"""The API for photos, and the page with the API's description."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel

from models.errors import ImageError, InputError
from models.text import one_line
from web.classifier_process import ClassifiedPhoto
from web.photo_body import MAX_PHOTOS, SentPhoto
from web.responses import API, BEARER, Problem, page
from web.state import State, WebState
from worker.job.parts import Status

_LONGEST_MESSAGE: Final = 2000

router = APIRouter(prefix="/v1", tags=["photos"], dependencies=[BEARER])
page_router = APIRouter(include_in_schema=False)


class Classified(BaseModel):
    """One answer per photo, in the order of the request."""

    photos: list[ClassifiedPhoto]


_URLS: Final = {"type": "array", "items": {"type": "string"}}
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_BODY: Final = {
    "required": True,
    "description": f"At most {MAX_PHOTOS} photos. Send one photo, a form with files and urls, or JSON with urls.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "urls": _URLS,
                },
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"urls": {**_URLS, "minItems": 1, "maxItems": MAX_PHOTOS}},
                "required": ["urls"],
                "additionalProperties": False,
            },
            "example": {"urls": ["https://shop.example/photos/1.jpg", "https://shop.example/photos/2.jpg"]},
        },
        "application/octet-stream": _BINARY,
        "image/*": _BINARY,
    },
}


@router.post(
    "/classify",
    response_model=Classified,
    openapi_extra={
        "requestBody": _BODY,
        "x-curl": "curl -F files=@boot.jpg -F files=@sandal.jpg '{base}/v1/classify?top_k=5'",
    },
)
async def classify(
    request: Request,
    state: State,
    top_k: Annotated[int, Query(ge=1, le=1000, description="Number of classes in the answer, best first.")] = 3,
    precision: Annotated[
        float | None,
        Query(
            gt=0,
            lt=1,
            description="Fraction of labeled photos that must be right. The model must support this precision.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        Query(
            gt=0,
            le=1,
            description="Labels with at least this confidence need no review, unless the photo is unknown.",
        ),
    ] = None,
) -> Response:
    """Label photos.

    Each photo gets an answer or an error, in order. URLs are downloaded as in a catalogue: private addresses are
    refused, even behind DNS names and redirects. While too many photos wait, the answer is 429 with Retry-After.
    """
    async with state.bodies.photos(request) as sent:
        whole = [photo.data for photo in sent if isinstance(photo.data, bytes)]
        try:
            labelled = iter(await state.classifier.classify(whole, top_k, precision, threshold))
        except InputError as error:
            raise Problem(422, str(error)) from error
    answers = [next(labelled) if isinstance(photo.data, bytes) else _failed(photo, state) for photo in sent]
    named = [answer.model_copy(update={"photo": photo.name}) for answer, photo in zip(answers, sent, strict=True)]
    return Response(Classified(photos=named).model_dump_json(), media_type="application/json")


def _failed(photo: SentPhoto, state: WebState) -> ClassifiedPhoto:
    assert isinstance(photo.data, ImageError)  # noqa: S101 - for type checkers
    error = photo.data
    state.metrics.photos.labels(Status.FAILED, error.fault).inc()
    return ClassifiedPhoto(error=error.fault, error_message=one_line(str(error), _LONGEST_MESSAGE))


@dataclass(frozen=True)
class _Operation:
    method: str
    path: str
    words: tuple[str, ...]
    curl: str


@page_router.get("/api")
def api_page(request: Request, state: State) -> HTMLResponse:
    """The page that describes the API, with examples."""
    base = str(request.base_url).rstrip("/")
    header = "-H 'Authorization: Bearer TOKEN' " if state.settings.token else ""
    paths = request.app.openapi()["paths"]
    operations = [
        _operation(method, path, operation, base, header)
        for path, methods in sorted(paths.items(), key=lambda item: not item[0].startswith(API))
        for method, operation in methods.items()
        if "x-curl" in operation
    ]
    return page(request, "web/api.html", operations=operations, model=state.classifier.model, base=base)


def _operation(method: str, path: str, described: dict[str, Any], base: str, header: str) -> _Operation:
    curl = described["x-curl"].replace("{base}", base).replace("curl ", f"curl {header}", 1)
    paragraphs = tuple(
        " ".join(paragraph.split()) for paragraph in described["description"].replace("``", "").split("\n\n")
    )
    return _Operation(method.upper(), path, paragraphs, curl)
