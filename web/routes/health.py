"""What a supervisor asks."""

from fastapi import APIRouter
from pydantic import BaseModel

from web.state import State

__all__ = ["router"]

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """That the server answers."""

    status: str = "ok"


@router.get("/healthz")
def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz")
def readyz(state: State) -> Health:
    """The folder of jobs can be read."""
    state.jobs.queued.names()
    return Health(status="ready")
