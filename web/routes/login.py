"""The page that asks for the token."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from web.problems import Problem
from web.security import SESSION_COOKIE, SESSION_S
from web.state import State
from web.views import page

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/login")
def ask(request: Request) -> HTMLResponse:
    """A form."""
    return HTMLResponse(page(request, "web/login.html", wrong=False))


@router.post("/login")
def enter(request: Request, state: State, token: Annotated[str, Form(max_length=4096)]) -> Response:
    """Let in who knows the token; ten tries a minute."""
    if not state.sessions.may_try():
        raise Problem(429, "Expected at most ten tries a minute; wait a minute.", {"Retry-After": "60"})
    if not state.sessions.is_token(token.strip()):
        return HTMLResponse(page(request, "web/login.html", wrong=True), 403)
    answer = RedirectResponse(f"{request.scope.get('root_path', '')}/", 303)
    answer.set_cookie(
        SESSION_COOKIE,
        state.sessions.cookie(),
        max_age=SESSION_S,
        path=request.scope.get("root_path", "") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer
