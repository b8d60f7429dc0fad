"""The application: middleware, and the routes that belong to no page."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import uvicorn
from fastapi import APIRouter, FastAPI, Form, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from pages.render import style_sheet, table_script
from web.metrics import Meter
from web.responses import BEARER, PROBLEMS, Problem, add_problem_handlers, page
from web.routes import api, jobs_api, jobs_page, models_page, review_page, try_page
from web.security import LOGGED_IN, Connection, Gate, Sessions, client_of
from web.settings import WebSettings
from web.state import State, make_state

_STATIC: Final = Path(__file__).parent / "static"
_AN_HOUR: Final = {"cache-control": "max-age=3600"}
_OWN_PATH: Final = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
r"""A path on this server. Not ``//host`` or ``/\host``: browsers open another host."""
_METRICS: Final = {"text/plain": {"schema": {"type": "string"}, "example": "hangtag_web_waiting_photos 3.0\n"}}
_router = APIRouter(include_in_schema=False)
_health = APIRouter(tags=["health"])


def create_app(settings: WebSettings) -> FastAPI:
    """The application of one server."""
    state = make_state(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await state.close()

    app = FastAPI(
        title="Hangtag",
        version=version("hangtag"),
        summary="Label product photos, and know which labels you can trust.",
        docs_url=None,  # FastAPI's page loads scripts from other hosts
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEMS,
    )
    app.state.hangtag = state
    add_problem_handlers(app)
    pages = (api.page_router, api.router, jobs_api.router, jobs_page.router, models_page.router, review_page.router)
    for router in (_router, _health, *pages, try_page.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(Gate, settings=settings, access=state.access)
    if settings.token:
        app.add_middleware(Sessions, token=settings.token, root=settings.root)
    app.add_middleware(Meter, metrics=state.metrics)
    return app


def create_server(settings: WebSettings) -> uvicorn.Server:
    """A server that is not running yet. Raises InputError if answers cannot be stored."""
    app = create_app(settings)
    app.state.hangtag.reviews.store.check()
    config = uvicorn.Config(app, http=Connection, log_level="warning", server_header=False, timeout_graceful_shutdown=3)
    return uvicorn.Server(config)


@_router.get("/")
def home(request: Request) -> Response:
    """Redirect to the first page of the navigation."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs", 303)


@_router.get("/static/pages.css")
def style() -> Response:
    """The style sheet of receipts and reports."""
    return Response(style_sheet(), media_type="text/css", headers=_AN_HOUR)


@_router.get("/static/tables.js")
def script() -> Response:
    """The script that sorts and filters tables."""
    return Response(table_script(), media_type="text/javascript", headers=_AN_HOUR)


@_router.get("/login")
def login_page(request: Request, to: str = "/") -> Response:
    """The login page."""
    return page(request, "web/login.html", wrong=False, to=to)


@_router.post("/login")
async def log_in(
    request: Request, state: State, token: Annotated[str, Form(max_length=4096)], to: str = "/"
) -> Response:
    """Log in a browser that sends the token, and redirect to the requested page."""
    if not state.access.is_token(client_of(request), token.strip()):
        return page(request, "web/login.html", 403, wrong=True, to=to)
    request.session[LOGGED_IN] = True
    return RedirectResponse(state.settings.root + (to if _OWN_PATH.fullmatch(to) else "/"), 303)


class Health(BaseModel):
    """The server's state."""

    status: str = Field("ok", examples=["ok"])


class Ready(BaseModel):
    """The server's readiness."""

    status: str = Field("ready", examples=["ready"])
    model: str | None = Field(description="The model that labels photos, or null.", examples=["shop@3"])
    note: str | None = Field(description="Why no model is loaded, or why an older model answers.", examples=[None])


@_health.get("/healthz", openapi_extra={"x-curl": "curl {base}/healthz"})
async def healthz() -> Health:
    """Liveness probe: the process answers."""
    return Health(status="ok")


@_health.get("/readyz", openapi_extra={"x-curl": "curl {base}/readyz"})
async def readyz(state: State) -> Ready:
    """Readiness probe: the folder of jobs is readable, and a model is ready. The first request loads the model.

    Without --model, the server is also ready if the registry has no model or several models.
    """
    await asyncio.to_thread(state.jobs.queued.names)
    pool = state.classifier
    pool.start()
    if pool.model is None and not pool.absent:
        raise Problem(503, pool.trouble or "The model is being loaded; try again.", {"retry-after": "1"})
    return Ready(status="ready", model=pool.model.name if pool.model else None, note=pool.trouble)


@_health.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus's text format.", "content": _METRICS}},
    dependencies=[BEARER],
    openapi_extra={"x-curl": "curl {base}/metrics"},
)
async def metrics(state: State) -> Response:
    """Return the server's metrics (docs/metrics.md)."""
    return Response(state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
