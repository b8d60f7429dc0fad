"""The page that asks for the token."""

import re
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from web.problems import Problem
from web.security import SESSION_COOKIE, SESSION_S, TOO_MANY_TRIES
from web.state import State
from web.views import page

_OWN_PLACE = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
"""A path here: ``//host`` and ``/\\host`` lead to another host."""

router = APIRouter(include_in_schema=False)


@router.get("/login")
def ask(request: Request, to: str = "/") -> HTMLResponse:
    """A form."""
    return HTMLResponse(page(request, "web/login.html", wrong=False, to=to))


@router.post("/login")
async def enter(
    request: Request, state: State, token: Annotated[str, Form(max_length=4096)], to: str = "/"
) -> Response:
    """Let in who knows the token, and lead to where they were going."""
    client = request.client.host if request.client else ""
    wait_s = state.sessions.tries.wait_s(client)
    if wait_s:
        raise Problem(429, TOO_MANY_TRIES, {"Retry-After": str(wait_s)})
    if not state.sessions.is_token(token.strip()):
        state.sessions.tries.note(client, token)
        return HTMLResponse(page(request, "web/login.html", wrong=True, to=to), 403)
    root = request.scope.get("root_path", "")
    answer = RedirectResponse(root + (to if _OWN_PLACE.fullmatch(to) else "/"), 303)
    answer.set_cookie(
        SESSION_COOKIE,
        state.sessions.cookie(),
        max_age=SESSION_S,
        path=root or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return answer
