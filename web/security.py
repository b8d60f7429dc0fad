"""Who may ask: a check of host, size, origin and token before any route sees a request, and headers on every answer.

Written to ASGI itself, since a request of the API passes here fifty times a second and more.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from web.problems import API, answer, problem_response
from web.settings import WebSettings

SESSION_COOKIE: Final = "hangtag_session"
SEAT_COOKIE: Final = "hangtag_seat"
"""Tells browsers apart: the CSRF token of their pages is made of it."""
CSRF_HEADER: Final = "x-csrf-token"
SESSION_S: Final = 12 * 3600
MAX_BODY: Final = 256 * 1024 * 1024
MAX_LOGIN_BODY: Final = 16 * 1024
"""Of those who have not shown the token yet."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: Final = frozenset({"/healthz", "/readyz", "/login"})
"""What needs no token; neither does what lies under ``/static/``."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names that no other site's page can have."""
_WRONG_TOKENS: Final = 10
_WRONG_TOKENS_S: Final = 60.0
_CLIENTS: Final = 10_000
TOO_MANY_TRIES: Final = "Expected at most ten wrong tokens a minute; wait a minute."
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


class Sessions:
    """Signs the session's cookie with a key that comes of the token: a restart ends no session, another token all.

    Args:
        token: what a client must know; none on a loopback address.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._key = hashlib.sha256(f"hangtag web {token}".encode()).digest() if token else secrets.token_bytes(32)
        self.tries = _Tries()

    @property
    def needs_token(self) -> bool:
        """Whether a client must show one."""
        return self._token is not None

    def is_token(self, given: str) -> bool:
        """Whether a client knows the token."""
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def cookie(self) -> str:
        """The value of the session's cookie for somebody who has shown the token."""
        until = str(int(time.time()) + SESSION_S)
        return f"{until}.{self._signed(until)}"

    def is_session(self, cookie: str) -> bool:
        """Whether a cookie is one of ours, and not too old."""
        until, _, signature = cookie.partition(".")
        mine = hmac.compare_digest(signature.encode(), self._signed(until).encode())
        return mine and int(until) > time.time()

    def _signed(self, until: str) -> str:
        return _text_of(hmac.new(self._key, f"session {until}".encode(), hashlib.sha256).digest())


def csrf_token(seat: str, session: str) -> str:
    """What pages of one browser send back: only who can read its cookies can tell.

    No key of the server goes into it: it outlives a restart, and tells a visitor without the token nothing of that.
    """
    return _text_of(hashlib.sha256(f"csrf {seat} {session}".encode()).digest())


def _text_of(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class _Tries:
    """Counts the different wrong tokens of a client; a program that repeats an old token guesses nothing."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, dict[str, float]] = OrderedDict()

    def wait_s(self, client: str) -> int:
        """How long a client must wait before it may show a token: ten wrong ones a minute are allowed."""
        recent = self._recent(client)
        if len(recent) < _WRONG_TOKENS:
            return 0
        return int(min(recent.values()) + _WRONG_TOKENS_S - time.monotonic()) + 1

    def note(self, client: str, wrong: str) -> None:
        """A client has shown a wrong token."""
        digest = hashlib.sha256(wrong.encode()).hexdigest()
        self._wrong[client] = {digest: time.monotonic(), **self._recent(client)}
        self._wrong.move_to_end(client)
        if len(self._wrong) > _CLIENTS:
            self._wrong.popitem(last=False)

    def _recent(self, client: str) -> dict[str, float]:
        since = time.monotonic() - _WRONG_TOKENS_S
        return {digest: at for digest, at in self._wrong.get(client, {}).items() if at > since}


@dataclass(frozen=True)
class _Asked:
    """What a request says.

    Attributes:
        method: of HTTP.
        path: as routes have it, without what a proxy puts before it.
        query: what follows the path.
        client: the address that it comes from.
        headers: of HTTP.
        cookies: name → value.
    """

    method: str
    path: str
    query: str
    client: str
    headers: Headers
    cookies: dict[str, str]

    @classmethod
    def of(cls, scope: Scope) -> "_Asked":
        path, query, client = _route_path(scope), scope["query_string"].decode("latin-1"), scope.get("client")
        headers = Headers(scope=scope)
        cookies = cookie_parser(headers.get("cookie", ""))
        return cls(scope["method"], path, query, client[0] if client else "", headers, cookies)

    @property
    def host(self) -> str:
        return self.headers.get("host", "").lower()

    @property
    def session(self) -> str:
        return self.cookies.get(SESSION_COOKIE, "")

    @property
    def bearer(self) -> str:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    @property
    def is_open(self) -> bool:
        return self.path in _OPEN or self.path.startswith("/static/")

    @property
    def is_safe(self) -> bool:
        return self.method in _SAFE

    @property
    def is_link(self) -> bool:
        """Whether somebody followed a link to a page that opens by itself, in no frame."""
        said = [self.headers.get(f"sec-fetch-{what}") for what in ("mode", "dest")]
        return self.is_safe and said == ["navigate", "document"]

    @property
    def is_of_a_browser(self) -> bool:
        """Other programs send none of these."""
        return any(name in self.headers for name in ("origin", "sec-fetch-site", "cookie"))

    @property
    def is_of_a_program(self) -> bool:
        """Whether a program asks the API: it gets no page, so it needs no token of one, which takes time to draw."""
        return self.path.startswith(API) and not self.is_of_a_browser

    @property
    def is_of_another_site(self) -> bool:
        """Whether another site's page had a browser send it; another port is another site."""
        if self.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            return not self.is_link
        origin = self.headers.get("origin", f"://{self.host}").lower().partition("://")[2]
        return not self.is_safe and origin != self.host

    @property
    def most_bytes(self) -> int:
        return MAX_LOGIN_BODY if self.is_open else MAX_BODY


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
        self._root = settings.root_path
        self._no_seat = secrets.token_urlsafe(16)
        self._hosts = _LOOPBACK | {settings.host.lower(), *(name.lower() for name in settings.names)}
        self._any_host = settings.host in {"0.0.0.0", "::"} and not settings.names  # noqa: S104 - a token is needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)  # no page uses one, and nobody would check who opens it
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["root_path"] = self._root
        scope["path"] = self._root + _route_path(scope)  # some proxies take their part off, some do not
        asked = _Asked.of(scope)
        known = asked.cookies.get(SEAT_COOKIE) or (self._no_seat if asked.is_of_a_program else None)
        seat = known or secrets.token_urlsafe(16)
        scope.setdefault("state", {})["csrf"] = csrf = csrf_token(seat, asked.session)
        new_seat = None if known else _cookie(SEAT_COOKIE, seat, scope)
        sender = _Sender(send, new_seat)
        refusal = self._refusal(asked, csrf)
        try:
            await (refusal or self._app)(scope, _limited(receive, asked.most_bytes), sender)
        except Exception:
            if not sender.has_begun:
                said = "Something went wrong here; the log of the server says what."
                await answer(Request(scope), 500, said)(scope, receive, sender)
            raise

    def _refusal(self, asked: _Asked, csrf: str) -> Response | None:
        """What to answer in place of the route, if anything."""
        if not self._is_own_host(asked.host):
            return problem_response(421, "Expected a Host that this server is known by; add it with --name.")
        length = asked.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > asked.most_bytes:
            return problem_response(413, _too_large(asked.most_bytes))
        if asked.is_of_another_site:
            return problem_response(403, "Expected a request of this page, got one of another site.")
        if self._sessions.needs_token and not asked.is_open and not self._sessions.is_session(asked.session):
            return self._without_session(asked)
        return self._without_csrf(asked, csrf)

    def _without_session(self, asked: _Asked) -> Response | None:
        """Ask for the token, unless it comes along."""
        if not asked.bearer:
            return _ask_for_token(asked, self._root)
        wait_s = self._sessions.tries.wait_s(asked.client)
        if wait_s:
            return problem_response(429, TOO_MANY_TRIES, {"retry-after": str(wait_s)})
        if self._sessions.is_token(asked.bearer):
            return None
        self._sessions.tries.note(asked.client, asked.bearer)
        return _ask_for_token(asked, self._root)

    def _without_csrf(self, asked: _Asked, csrf: str) -> Response | None:
        """Refuse a change that a browser asks for without a page of ours; with the token itself none is needed."""
        if asked.is_safe or asked.path == "/login" or not asked.is_of_a_browser:
            return None
        given = asked.headers.get(CSRF_HEADER, "")
        if hmac.compare_digest(given.encode(), csrf.encode()) or self._sessions.is_token(asked.bearer):
            return None
        return problem_response(403, "Expected the token of this page; load the page again.")

    def _is_own_host(self, host: str) -> bool:
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        return name in self._hosts or (self._any_host and name != "")


class _Sender:
    """Sends an answer with the headers that every answer has.

    Args:
        send: where it goes.
        new_seat: the cookie for a browser that has none, with its first page.
    """

    def __init__(self, send: Send, new_seat: str | None) -> None:
        self._send = send
        self._new_seat = new_seat
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            if self._new_seat and headers.get("content-type", "").startswith("text/html"):
                headers.append("set-cookie", self._new_seat)
                headers["cache-control"] = "no-store"
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _ask_for_token(asked: _Asked, root: str) -> Response:
    """Lead people to the form, and back to where they were going; tell programs."""
    if "text/html" in asked.headers.get("accept", ""):
        place = f"{asked.path}?{asked.query}" if asked.query else asked.path
        return RedirectResponse(f"{root}/login?{urlencode({'to': place})}", 303)
    said = "Expected the header Authorization: Bearer TOKEN."
    if asked.bearer:
        said = "Expected the token of this server, got another one; it is the text in the file of --token-file."
    return problem_response(401, said, {"www-authenticate": "Bearer"})


def _route_path(scope: Scope) -> str:
    """The path as routes have it, whether a proxy takes its own part off or not."""
    path: str = scope["path"]
    return path.removeprefix(scope["root_path"])


def _limited(receive: Receive, most: int) -> Receive:
    """The same body, refused where it grows too large without having said so."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, _too_large(most))
        return message

    return counted


def _too_large(most: int) -> str:
    instead = "send fewer photos at once, or a catalogue as a file on the server or at a URL"
    return f"Expected a body of at most {most:,} bytes that says its length; {instead}."


def _cookie(name: str, value: str, scope: Scope) -> str:
    """A cookie that comes along, too, when somebody follows a link in a chat or a mail: pages change nothing."""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{name}={value}; Path={scope['root_path'] or '/'}; HttpOnly; SameSite=Lax{secure}"
