"""The application: routes, what they share, and what stands before them; the first page and the style of all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from pages.render import style_sheet, table_script
from web.metrics import Meter
from web.problems import add_problem_handlers, problems
from web.rate_limit import RateLimit
from web.routes import api, health, jobs_api, jobs_page, login, models_page, review_page, try_page
from web.security import Gate
from web.settings import WebSettings
from web.state import make_state

_STATIC = Path(__file__).parent / "static"
_router = APIRouter(include_in_schema=False)


def create_app(settings: WebSettings) -> FastAPI:
    """The application of one server."""
    state = make_state(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        state.classifier.close()
        state.runner.close()
        state.pictures.close()
        state.comparisons.close()

    app = FastAPI(
        title="Hangtag",
        version=version("hangtag"),
        summary="Label product photos, and know which labels you can trust.",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        responses=problems(400, 404, 409, 413, 422),
    )
    app.state.hangtag = state
    add_problem_handlers(app)
    with_routes = (api, jobs_api, login, health, jobs_page, models_page, review_page, try_page)
    for router in (_router, api.page_router, *(module.router for module in with_routes)):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(RateLimit, per_minute=settings.requests_per_minute)
    app.add_middleware(Gate, settings=settings, sessions=state.sessions)
    app.add_middleware(Meter, metrics=state.metrics)
    return app


@_router.get("/")
def home(request: Request) -> Response:
    """Lead to the first page of the navigation."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs", 303)


@_router.get("/static/pages.css")
def style() -> Response:
    """The style that the receipt and the reports have."""
    return Response(style_sheet(), media_type="text/css", headers={"cache-control": "max-age=3600"})


@_router.get("/static/tables.js")
def script() -> Response:
    """The script that sorts and filters tables, as in the receipt and the reports."""
    return Response(table_script(), media_type="text/javascript", headers={"cache-control": "max-age=3600"})
