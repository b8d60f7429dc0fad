"""The page to try the model on photos. Labels come from ``/v1/classify``."""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from models.bundle import Bundle, open_bundle, read_manifest
from models.errors import HangtagError, ImageError
from models.preprocess import MAX_PIXELS
from web.classifier_process import ServedModel
from web.heat_map import GRID, PATCH
from web.responses import Problem, page
from web.state import State, WebState

_WORKER: Final = Path(__file__).parents[1] / "static" / "edge_worker.js"
_WORKER_CSP: Final = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"
"""Only this script may compile WebAssembly, which runs the model in the browser."""

router = APIRouter(include_in_schema=False, prefix="/try")


@router.get("")
async def show(request: Request, state: State) -> HTMLResponse:
    """Return the page, and begin to load the model."""
    state.classifier.start()
    return page(request, "web/try.html")


@router.get("/model")
async def model(state: State) -> dict[str, Any]:
    """The current model, with the data that a browser needs to label photos."""
    state.classifier.start()
    served = state.classifier.model
    if served is None:
        return {"trouble": state.classifier.trouble}
    shown = {
        "name": served.name,
        "reference": served.reference,
        "precision": served.precision,
        "rule": served.rule,
        "classes": len(served.labels),
        "unknown_limit": served.unknown_limit,
    }
    return {"model": shown, **await asyncio.to_thread(_edge_rules, served)}


@router.get("/edge.onnx")
def edge_graph(state: State, if_none_match: str = Header("")) -> Response:
    """The ONNX model that the browser runs."""
    served = state.classifier.model
    if served is None:
        raise Problem(503, f"No model is available: {state.classifier.trouble}", {"retry-after": "5"})
    etag = f'"{served.digest}"'
    if etag in if_none_match:
        return Response(status_code=304, headers={"etag": etag})
    bundle, variant = _edge_of(served)
    graph = bundle.manifest.variants[variant].edge
    assert graph  # noqa: S101 - _edge_of has checked it
    return Response(bundle.read(graph), media_type="application/octet-stream", headers={"etag": etag})


@router.get("/edge_worker.js")
def edge_worker() -> FileResponse:
    """The script that labels photos in the browser."""
    return FileResponse(_WORKER, media_type="text/javascript", headers={"content-security-policy": _WORKER_CSP})


@router.post("/photo")
async def photo(request: Request, state: State) -> Response:
    """Download the photo at a URL, in the same way as a worker."""
    return Response(await _only_photo(request, state), media_type="application/octet-stream")


@router.post("/heat-map")
async def heat_map(request: Request, state: State) -> dict[str, Any]:
    """The heat map of the photo in the body."""
    data = await _only_photo(request, state)
    start = time.perf_counter()
    made = await state.classifier.heat_map(data)
    milliseconds = (time.perf_counter() - start) * 1000
    return {"label": made.label, "confidence": made.confidence, "drops": made.drops, "milliseconds": milliseconds}


async def _only_photo(request: Request, state: WebState) -> bytes:
    async with state.bodies.photos(request) as photos:
        if len(photos) != 1:
            raise Problem(422, f"Expected one photo, got {len(photos)}.")
        data = photos[0].data
    if isinstance(data, ImageError):
        raise Problem(422, str(data), error=data.fault)
    assert data is not None  # noqa: S101 - for type checkers
    return data


def _edge_rules(served: ServedModel) -> dict[str, Any]:
    try:
        bundle, name = _edge_of(served)
    except (HangtagError, Problem) as error:
        return {"edge": None, "no_edge": str(error)}
    manifest, variant = bundle.manifest, bundle.manifest.variants[name]
    rules = {
        "digest": served.digest,
        "reference": f"{manifest.name}/{manifest.version}/{name}@{served.digest[:12]}",
        "labels": served.labels,
        "thresholds": variant.ruling_thresholds(len(served.labels)),
        "unknown_limit": variant.unknown.limit if variant.unknown else None,
        "size": served.size,
        "max_pixels": MAX_PIXELS,
        "grid": GRID,
        "patch": PATCH,
    }
    return {"edge": rules}


def _edge_of(served: ServedModel) -> tuple[Bundle, str]:
    """The bundle, and a variant with ``edge.onnx``. Prefers the current variant."""
    if not served.path.is_dir():
        raise Problem(404, f"{served.name} is a single ONNX file: a browser needs a bundle with edge.onnx.")
    bundle = read_manifest(served.path)
    if bundle.digest != served.digest:
        raise Problem(409, f"{served.name} was replaced; load the page again.")
    variants = bundle.manifest.variants
    for name in (served.variant, *variants):
        if variants[name].edge:
            return open_bundle(served.path), name
    raise Problem(404, f"{served.name} has no edge.onnx; make it with hangtag export --edge.")
