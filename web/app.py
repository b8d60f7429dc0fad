"""The application: routes, what they share, and what stands before them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from web.documents import problems
from web.metrics import Meter
from web.problems import add_problem_handlers
from web.rate_limit import RateLimit
from web.routes import api, api_page, health, home, jobs_api, jobs_page, login, models_page, review_page, try_page
from web.security import Gate
from web.settings import WebSettings
from web.state import make_state

__all__ = ["create_app"]

_STATIC = Path(__file__).parent / "static"


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
    for routes in (api, jobs_api, home, login, health, jobs_page, models_page, review_page, api_page, try_page):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(RateLimit, per_minute=settings.requests_per_minute)
    app.add_middleware(Gate, settings=settings, sessions=state.sessions)
    app.add_middleware(Meter, metrics=state.metrics)
    return app
