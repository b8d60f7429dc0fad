"""What a supervisor asks."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from web.classify import NoModelError
from web.problems import BEARER, Problem, problems
from web.state import State

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """That the server answers."""

    status: str = Field("ok", examples=["ok"])


class Ready(BaseModel):
    """What the server is ready for."""

    status: str = Field("ready", examples=["ready"])
    model: str | None = Field(description="The model that labels photos; null without one.", examples=["shop@3"])
    note: str | None = Field(description="Why no model is loaded, or why it is not the current one.", examples=[None])


@router.get("/healthz", responses=problems(), openapi_extra={"x-curl": "curl {base}/healthz"})
async def healthz() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@router.get("/readyz", responses=problems(503), openapi_extra={"x-curl": "curl {base}/readyz"})
async def readyz(state: State) -> Ready:
    """Say whether the folder of jobs can be read and the model answers; the first who asks has the model loaded.

    A server for which no model is meant, since its registry does not hold just one, is ready without.
    """
    await asyncio.to_thread(state.jobs.queued.names)
    pool = state.classifier
    pool.start()
    if pool.model is None and pool.trouble is None:
        try:
            await asyncio.to_thread(pool.meant)
        except NoModelError as error:  # before the pool has looked
            return Ready(status="ready", model=None, note=str(error))
    if pool.model is None and not pool.absent:
        raise Problem(503, pool.trouble or "The model is being loaded; try again.", {"retry-after": "1"})
    return Ready(status="ready", model=pool.model.name if pool.model else None, note=pool.trouble)


_TEXT = {"text/plain": {"schema": {"type": "string"}, "example": "hangtag_web_waiting_photos 3.0\n"}}


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus's text format.", "content": _TEXT}, **problems()},
    dependencies=[BEARER],
    openapi_extra={"x-curl": "curl {base}/metrics"},
)
async def metrics(state: State) -> Response:
    """Tell the server's numbers; docs/metrics.md says what they mean."""
    return Response(state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
