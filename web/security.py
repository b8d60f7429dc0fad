"""Who may ask: a check of host, origin, token and size before any route sees a request, and headers on every answer.

Written to ASGI itself, since a request of the API passes here fifty times a second and more.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections import deque
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import problem_response
from web.settings import WebSettings

__all__ = ["CSRF_HEADER", "SESSION_COOKIE", "Gate", "Sessions"]

SESSION_COOKIE: Final = "hangtag_session"
SEAT_COOKIE: Final = "hangtag_seat"
"""Tells browsers apart: what a page sends back as its CSRF token is made of it."""
CSRF_HEADER: Final = "x-csrf-token"
SESSION_S: Final = 12 * 3600
MAX_BODY: Final = 256 * 1024 * 1024
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: Final = ("/healthz", "/readyz", "/login", "/static/")
"""What needs no token."""
_TRIES: Final = 10
_TRIES_S: Final = 60.0
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


class Sessions:
    """Signs what cookies say, with a key that comes of the token: a restart ends no session, another token all.

    Args:
        token: what a client must know; none on a loopback address.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._key = hashlib.sha256(f"hangtag web {token}".encode()).digest() if token else secrets.token_bytes(32)
        self._tries: deque[float] = deque(maxlen=_TRIES)

    @property
    def needs_token(self) -> bool:
        """Whether a client must show one."""
        return self._token is not None

    def is_token(self, given: str) -> bool:
        """Whether a client knows the token."""
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def may_try(self) -> bool:
        """Whether another token may be tried now: ten a minute, of all clients together."""
        now = time.monotonic()
        if len(self._tries) == _TRIES and now - self._tries[0] < _TRIES_S:
            return False
        self._tries.append(now)
        return True

    def cookie(self) -> str:
        """The value of the session's cookie for somebody who has shown the token."""
        until = str(int(time.time()) + SESSION_S)
        return f"{until}.{self._signed(f'session {until}')}"

    def is_session(self, cookie: str) -> bool:
        """Whether a cookie is one of ours, and not too old."""
        until, _, signature = cookie.partition(".")
        mine = hmac.compare_digest(signature.encode(), self._signed(f"session {until}").encode())
        return mine and until.isdigit() and int(until) > time.time()

    def csrf(self, seat: str) -> str:
        """The token that pages of one browser send back."""
        return self._signed(f"csrf {seat}")

    def _signed(self, text: str) -> str:
        digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Gate:
    """The middleware.

    Args:
        app: what it stands before.
        settings: the addresses and names by which this server may be asked for.
        sessions: who is let in.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions
        own = {settings.host.lower(), *(name.lower() for name in settings.names)}
        self._hosts = own | ({"127.0.0.1", "localhost", "::1"} if settings.is_loopback else set())
        self._any_host = settings.host in {"0.0.0.0", "::"} and not settings.names  # noqa: S104 - a token is needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookies = _cookies(headers)
        seat = cookies.get(SEAT_COOKIE) or secrets.token_urlsafe(16)
        scope.setdefault("state", {})["csrf"] = self._sessions.csrf(seat)
        new_seat = None if SEAT_COOKIE in cookies else seat

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
                if new_seat and answer.get("content-type", "").startswith("text/html"):
                    answer.append("set-cookie", _cookie(SEAT_COOKIE, new_seat, scope))
                    answer.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope, headers, cookies, seat)
        if refusal is not None:
            await refusal(scope, receive, send_safely)
        else:
            await self._app(scope, _limited(receive), send_safely)

    def _refusal(self, scope: Scope, headers: Headers, cookies: dict[str, str], seat: str) -> Response | None:
        """What to answer in place of the route, if anything."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not self._is_own_host(headers.get("host", "")):
            return problem_response(421, "Expected a Host that this server is known by; add it with --name.")
        if int(headers.get("content-length", "0") or 0) > MAX_BODY:
            return problem_response(413, f"Expected at most {MAX_BODY:,} bytes; send fewer photos at once.")
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        is_open = path.startswith(_OPEN)
        if self._sessions.needs_token and not is_open:
            by_cookie = self._sessions.is_session(cookies.get(SESSION_COOKIE, ""))
            if not by_cookie and not (bearer and self._sessions.is_token(bearer)):
                if "text/html" in headers.get("accept", ""):
                    return RedirectResponse(f"{scope.get('root_path', '')}/login", 303)
                wanted = {"www-authenticate": "Bearer"}
                return problem_response(401, "Expected the header Authorization: Bearer TOKEN.", wanted)
        if scope["method"] in _SAFE:
            return None
        return self._cross_site(scope, headers, path, seat, bearer)

    def _cross_site(self, scope: Scope, headers: Headers, path: str, seat: str, bearer: str) -> Response | None:
        """Refuse what another site's page has a browser send; other programs send no origin and no cookies."""
        fetched = headers.get("sec-fetch-site", "none")
        origin = headers.get("origin")
        foreign = fetched not in {"same-origin", "none"} or (
            origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
        )
        if foreign:
            return problem_response(403, "Expected a request of this page, got one of another site.")
        browser = origin is not None or "sec-fetch-site" in headers or "cookie" in headers
        if not browser or bearer or path == "/login":
            return None
        given = headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(), self._sessions.csrf(seat).encode()):
            return problem_response(403, "Expected the token of this page; load the page again.")
        return None

    def _is_own_host(self, host: str) -> bool:
        name = host[: host.rfind("]") + 1].strip("[]") if host.startswith("[") else host.partition(":")[0]
        return self._any_host or name.lower() in self._hosts


def _limited(receive: Receive) -> Receive:
    """The same body, refused where it grows too large without having said so."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY:
            from web.problems import Problem

            raise Problem(413, f"Expected at most {MAX_BODY:,} bytes; send fewer photos at once.")
        return message

    return counted


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _cookie(name: str, value: str, scope: Scope) -> str:
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{name}={value}; Path={scope.get('root_path', '') or '/'}; HttpOnly; SameSite=Strict{secure}"
