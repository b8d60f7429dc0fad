"""Access control: checks each request before its route, and adds security headers to responses.

Limits the number and duration of connections.

Pages need no CSRF token, because headers reveal requests from other sites (OWASP, Cross-Site Request Forgery Prevention
Cheat Sheet, "Fetch Metadata headers"). Browsers send ``Sec-Fetch-Site`` over HTTPS and to loopback addresses.
They send ``Origin`` with every request that may change data.
"""

import asyncio
import hashlib
import hmac
import logging
import resource
import time
from collections import OrderedDict
from typing import Final, cast
from urllib.parse import urlencode

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from uvicorn.protocols.http.h11_impl import H11Protocol

from web.responses import Problem, respond
from web.settings import WebSettings

SESSION_COOKIE: Final = "hangtag_session"
SESSION_S: Final = 12 * 3600
LOGGED_IN: Final = "logged_in"
"""Session key of browsers that have sent the token."""
MAX_BODY: Final = 256 * 1024 * 1024
MAX_LOGIN_BODY: Final = 16 * 1024
"""Maximum bytes of a request body for a path that needs no token."""
_BODY_S: Final = 1800.0
_LOGIN_BODY_S: Final = 10.0
"""Seconds to receive a request body for a path that needs no token."""
_REQUEST_S: Final = 10.0
"""Seconds to wait for a request's headers."""
_STALL_S: Final = 60.0
"""Seconds to wait for a client that stopped reading the response."""
_CONNECTIONS: Final = 1000
_LOG_S: Final = 60.0
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: Final = frozenset({"/healthz", "/readyz", "/login"})
"""Paths that need no token, like the paths under ``/static/``."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_WRONG_TOKENS: Final = 10
_WRONG_TOKENS_S: Final = 60.0
_CLIENTS: Final = 10_000
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
    "cache-control": "private, no-cache",
}


class Connection(H11Protocol):
    """A connection that closes if its client sends or reads too slowly.

    At most :data:`_CONNECTIONS` connections are open. The limit is lower if the process may open few files. Above the
    limit, the oldest connection that waits for its client is closed. If no connection waits, the new one is closed.
    """

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._look()
        if len(self.connections) > min(_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2):
            others = cast("set[Connection]", self.connections - {self})
            waiting = [one for one in others if one._may_end()]
            min(waiting, key=lambda one: (one._patience is None, one._since), default=self)._end()

    def data_received(self, data: bytes) -> None:
        """See asyncio. Only a complete request extends the time limit."""
        super().data_received(data)
        if self._is_answering() and not self.flow.write_paused:
            self._look()

    def on_response_complete(self) -> None:
        """See uvicorn."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """See asyncio."""
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        """See asyncio."""
        super().resume_writing()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._be_patient(None)
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _may_end(self) -> bool:
        return self._patience is not None or (self._is_answering() and self.cycle.more_body)

    def _look(self) -> None:
        if self.flow.write_paused:
            self._be_patient(_STALL_S)
        else:
            self._be_patient(None if self._is_answering() else _REQUEST_S)

    def _be_patient(self, seconds: float | None) -> None:
        if self._patience:
            self._patience.cancel()
        self._patience = None if seconds is None else self.loop.call_later(seconds, self._end)

    def _end(self) -> None:
        self.connections.discard(self)  # no longer counted
        self._be_patient(None)
        self.transport.abort()


class OnceAMinute(logging.Filter):
    """Logs at most one record a minute from each line of code.

    Records with a traceback are never dropped, except those of an ``OSError``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._until: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging."""
        if record.exc_info and not isinstance(record.exc_info[1], OSError):
            return True
        place, now = (record.pathname, record.lineno), time.monotonic()
        if now < self._until.get(place, 0.0):
            return False
        self._until[place] = now + _LOG_S
        return True


class Access:
    """Checks tokens. Each client may send at most ten different wrong tokens a minute.

    Repeats of a wrong token do not count, because a program with an old token is not guessing.

    ``token`` is None without ``--token-file``.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._wrong: OrderedDict[str, dict[str, float]] = OrderedDict()

    @property
    def needs_token(self) -> bool:
        """Whether clients need a token."""
        return self._token is not None

    def is_token(self, client: str, shown: str) -> bool:
        """Whether a client's token is right. Raises a Problem, 429, after too many wrong tokens."""
        now = time.monotonic()
        recent = {token: at for token, at in self._wrong.get(client, {}).items() if at > now - _WRONG_TOKENS_S}
        if len(recent) >= _WRONG_TOKENS:
            again = {"retry-after": str(int(min(recent.values()) + _WRONG_TOKENS_S - now) + 1)}
            raise Problem(429, "Expected at most ten wrong tokens a minute; wait a minute.", again)
        if self._token is not None and hmac.compare_digest(shown.encode(), self._token.encode()):
            return True
        self._wrong[client] = {**recent, hashlib.sha256(shown.encode()).hexdigest(): now}
        self._wrong.move_to_end(client)
        if len(self._wrong) > _CLIENTS:
            self._wrong.popitem(last=False)
        return False


class Sessions:
    """Starlette's session middleware.

    Cookies that are set over HTTPS are sent only over HTTPS. The token signs cookies, so sessions survive a restart.
    """

    def __init__(self, app: ASGIApp, token: str, root: str) -> None:
        def signed(*, https_only: bool) -> SessionMiddleware:
            path = root or "/"
            return SessionMiddleware(app, token, SESSION_COOKIE, SESSION_S, path, https_only=https_only)

        self._http, self._https = signed(https_only=False), signed(https_only=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await (self._https if scope.get("scheme") == "https" else self._http)(scope, receive, send)


class Gate:
    """The middleware that checks requests."""

    def __init__(self, app: ASGIApp, settings: WebSettings, access: Access) -> None:
        self._app = app
        self._access = access
        self._root = settings.root
        self._hosts = {*_LOOPBACK, settings.host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)  # no page uses WebSockets
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(self._root)  # some proxies do not strip the prefix
        scope["root_path"], scope["path"] = self._root, self._root + path
        request = Request(scope)
        sender = _Sender(send)
        most_bytes, most_s = (MAX_LOGIN_BODY, _LOGIN_BODY_S) if _is_open(path) else (MAX_BODY, _BODY_S)
        try:
            answer = self._refusal(request, path, most_bytes) or self._app
        except Problem as problem:
            answer = respond(request, problem)
        try:
            await answer(scope, _limited(receive, most_bytes, most_s), sender)
        except Exception:
            if not sender.has_begun:
                fault = Problem(500, "The server had an error; see its log.")
                await respond(request, fault)(scope, receive, sender)
            raise

    def _refusal(self, request: Request, path: str, most_bytes: int) -> Response | None:
        """A redirect to the login. None if the request is allowed. Raises a Problem for a refused request."""
        if not self._access.needs_token and _name(request.headers.get("host", "")) not in self._hosts:
            raise Problem(421, f"Expected Host: {', '.join(sorted(self._hosts))}; other hosts need --token-file.")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most_bytes:
            raise Problem(413, _too_large(most_bytes))
        if _is_of_another_site(request):
            raise Problem(403, "Expected a request from this page, got a request from another site.")
        if not self._access.needs_token or _is_open(path) or request.session.get(LOGGED_IN):
            return None
        return self._without_session(request, path)

    def _without_session(self, request: Request, path: str) -> Response | None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        shows_token = kind.lower() == "bearer" and bool(token.strip())
        if shows_token and self._access.is_token(client_of(request), token.strip()):
            return None
        if "text/html" in request.headers.get("accept", ""):
            place = f"{path}?{request.url.query}" if request.url.query else path
            return RedirectResponse(f"{self._root}/login?{urlencode({'to': place})}", 303)
        expected = "Expected the header Authorization: Bearer TOKEN."
        if shows_token:
            expected = (
                "Expected the token of this server, got another token; the right token is in the file of --token-file."
            )
        raise Problem(401, expected, {"www-authenticate": "Bearer"})


class _Sender:
    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def client_of(request: Request) -> str:
    """The client's address."""
    return request.client.host if request.client else ""


def _name(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.lower().partition(":")[0]


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith("/static/")


def _is_of_another_site(request: Request) -> bool:
    """Whether a page of another site or port sent this request. Links are allowed."""
    headers, is_safe = request.headers, request.method in _SAFE
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        is_link = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
        return not (is_safe and is_link)
    host = headers.get("host", "").lower()
    return not is_safe and headers.get("origin", f"://{host}").lower().partition("://")[2] != host


def _limited(receive: Receive, most: int, most_s: float) -> Receive:
    size = 0
    until: float | None = asyncio.get_running_loop().time() + most_s

    async def counted() -> Message:
        nonlocal size, until
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"Expected the body within {most_s:g} s; send it again.") from None
        if not message.get("more_body", False):
            until = None  # later calls of ``receive`` only wait for the client to disconnect
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, _too_large(most))
        return message

    return counted


def _too_large(most: int) -> str:
    instead = "send fewer photos at once, or use a catalogue file on the server or at a URL"
    return f"Expected a body of at most {most:,} bytes with a Content-Length; {instead}."
