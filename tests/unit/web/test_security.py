"""Access to the server, tried like an attacker."""

import asyncio
import errno
import logging
import resource
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import WebSocket
from starlette.middleware.sessions import SessionMiddleware
from starlette.testclient import TestClient
from starlette.types import Message, Scope
from starlette.websockets import WebSocketDisconnect
from uvicorn import Config
from uvicorn.server import ServerState

from models.errors import InputError
from web.app import create_app
from web.security import MAX_BODY, MAX_LOGIN_BODY, SESSION_COOKIE, SESSION_S, Connection, OnceAMinute
from web.serve import raise_limit_of_files
from web.settings import WebSettings

from .conftest import ADDRESS, TOKEN, Serve

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PAGE = {"Accept": "text/html"}
CHANGE = "/v1/jobs/none/cancel"
"""A change that passes is answered with 404."""
ALWAYS = ("content-security-policy", "x-content-type-options", "referrer-policy", "x-frame-options", "cache-control")


def fault() -> None:
    raise ZeroDivisionError


@pytest.fixture
def local(serve: Serve) -> TestClient:
    """A client of a server on a loopback address, with a web socket and a failing route."""
    app = serve().app
    app.add_api_websocket_route("/socket", WebSocket.accept)
    app.add_api_route("/fault", fault)
    return TestClient(app, ADDRESS, raise_server_exceptions=False)


@pytest.fixture
def public(with_token: dict[str, Any], serve: Serve) -> TestClient:
    """A client of a server for other machines; it follows no redirects."""
    client = serve(**with_token)
    client.follow_redirects = False
    return client


# The name in the request: DNS rebinding


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8800", "127.0.0.1.evil.example", "0.0.0.0:8800", ""])
def test_a_host_that_leads_here_by_rebinding_is_refused(local: TestClient, host: str) -> None:
    assert local.get("/jobs", headers={"Host": host}).status_code == 421
    assert local.post(CHANGE, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8800", "localhost:8800", "LOCALHOST", "[::1]:8800"])
def test_this_machines_own_names_are_known(local: TestClient, host: str) -> None:
    assert local.get("/jobs", headers={"Host": host}).status_code == 200


# The token


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "shop.example", ""])  # noqa: S104 - nothing listens
def test_another_host_without_a_token_refuses_to_start(host: str) -> None:
    with pytest.raises(InputError, match="--token-file"):
        WebSettings(host=host)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_no_method_passes_without_the_token(public: TestClient, method: str) -> None:
    assert public.request(method, "/jobs").status_code == 401
    assert public.request(method, "/v1/classify").status_code == 401


@pytest.mark.parametrize(
    "path", ["/loginx", "/login/", "/healthz/x", "/static", "//static/x", "/x/static/web.css", "/%2e/login/../v1/jobs"]
)
def test_paths_that_look_open_are_not(public: TestClient, path: str) -> None:
    assert public.get(path).status_code == 401


@pytest.mark.parametrize(
    "value", [f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", "Bearer ", "Basic " + TOKEN, TOKEN, "Bearer é"]
)
def test_a_wrong_token_opens_nothing(public: TestClient, value: str) -> None:
    assert public.get("/jobs", headers={"Authorization": value.encode("latin-1")}).status_code == 401


def test_a_person_logs_in_once_and_comes_to_where_they_were_going(public: TestClient) -> None:
    asked = public.get("/no-such-page?row=7", headers=PAGE)
    assert asked.headers["location"] == "/login?to=%2Fno-such-page%3Frow%3D7"
    assert public.get(asked.headers["location"], headers=PAGE).status_code == 200
    entered = public.post(asked.headers["location"], data={"token": f" {TOKEN}\n"}, headers={"Origin": ADDRESS})
    assert entered.headers["location"] == "/no-such-page?row=7"
    assert public.get("/no-such-page?row=7", headers=PAGE).status_code == 404


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil", "", "x"])
def test_logging_in_leads_nowhere_else(public: TestClient, to: str) -> None:
    assert public.post("/login", params={"to": to}, data={"token": TOKEN}).headers["location"] == "/"


def test_ten_wrong_tokens_a_minute_are_tried_by_form_or_header(public: TestClient) -> None:
    for n in range(5):
        assert public.post("/login", data={"token": f"guess {n}"}).status_code == 403
        assert public.get("/jobs", headers={"Authorization": f"Bearer guess-{n}"}).status_code == 401
    for refused in (public.post("/login", data={"token": TOKEN}), public.get("/jobs", headers=BEARER)):
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 61


def test_a_program_with_an_old_token_locks_nobody_out(public: TestClient) -> None:
    for _ in range(30):
        assert public.get("/jobs", headers={"Authorization": "Bearer of-last-year"}).status_code == 401
    assert public.get("/jobs", headers=BEARER).status_code == 200


def test_wrong_tokens_of_one_address_keep_no_other_out(public: TestClient) -> None:
    bad, good = (TestClient(public.app, ADDRESS, client=(address, 5000)) for address in ("10.1.1.1", "10.1.1.2"))
    for n in range(12):
        last = bad.post("/login", data={"token": f"guess {n}"})
    assert last.status_code == 429
    assert good.post("/login", data={"token": TOKEN}, follow_redirects=False).status_code == 303


# Sessions


def session_of(client: TestClient) -> str:
    """The header that sets the session's cookie."""
    cookie = client.post("/login", data={"token": TOKEN}).headers["set-cookie"]
    assert cookie.startswith(SESSION_COOKIE)
    return cookie.lower()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_hidden_from_scripts_and_other_sites_and_secure_behind_tls(
    public: TestClient, scheme: str
) -> None:
    public.base_url = f"{scheme}://127.0.0.1:8800"
    attributes = set(session_of(public).split("; "))
    assert {"httponly", "samesite=lax", "path=/"} <= attributes
    assert ("secure" in attributes) == (scheme == "https")


def test_a_session_is_known_until_it_is_too_old_and_after_a_restart(
    public: TestClient, serve: Serve, with_token: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    session_of(public)
    assert public.get("/jobs").status_code == 200
    restarted = serve(**with_token)
    restarted.cookies = public.cookies
    assert restarted.get("/jobs").status_code == 200
    later = time.time() + SESSION_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert public.get("/jobs").status_code == 401


def test_a_forged_session_is_none(public: TestClient) -> None:
    session_of(public)
    real = public.cookies[SESSION_COOKIE].strip('"')
    public.cookies.clear()
    data, at, signature = real.rsplit(".", 2)
    other = SessionMiddleware(public.app, "another-token-of-ours").signer.sign(data.encode()).decode()
    for session in (f"{data}.{at}.", f"{data}.{signature}", data, "", f"x{real}", f"{real}x", other, "x.y.z"):
        header = f"{SESSION_COOKIE}={session}".encode()
        assert public.get("/jobs", headers={"Cookie": header}).status_code == 401, session
    odd = f'a{{b}}=1; "; x y=2; ={{}}; {SESSION_COOKIE}={real}'  # of programs at other ports
    assert public.get("/jobs", headers={"Cookie": odd}).status_code == 200


# Other sites' pages


@pytest.mark.parametrize(
    "theirs",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_another_sites_page_changes_nothing(local: TestClient, theirs: dict[str, str]) -> None:
    ours = {"Origin": ADDRESS} if "Sec-Fetch-Site" in theirs else {}
    assert local.post(CHANGE, headers=ours | theirs).status_code == 403


def test_another_sites_page_changes_nothing_in_a_browser_that_has_logged_in(public: TestClient) -> None:
    session_of(public)
    assert public.post("/v1/jobs/none/cancel", headers={"Origin": ADDRESS}).status_code == 404
    assert public.post("/v1/jobs/none/cancel", headers={"Origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize("dest", ["image", "script", "iframe", "empty", "object"])
def test_another_sites_page_loads_nothing_of_ours(local: TestClient, dest: str) -> None:
    mode = "navigate" if dest in {"iframe", "object"} else "no-cors"
    theirs = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert local.get("/jobs", headers=theirs).status_code == 403


def test_a_link_from_a_chat_opens(local: TestClient) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert local.get("/jobs", headers=link).status_code == 200


def test_no_web_socket_opens(local: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), local.websocket_connect("/socket"):
        pass


# Sizes


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 30, "-1", "1e9", "0x10", "²", ""])
def test_a_body_that_says_that_it_is_too_large_is_refused_unread(local: TestClient, length: str) -> None:
    assert local.post(CHANGE, headers={"Content-Length": length.encode("latin-1")}).status_code == 413


def chunks(total: int) -> Iterator[bytes]:
    """A form with one file, without an end and without a Content-Length."""
    yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    for _ in range(total // 2**16 + 1):
        yield bytes(2**16)


def test_a_visitor_without_the_token_fills_no_disk(public: TestClient) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert public.post("/login", content=chunks(MAX_LOGIN_BODY), headers=form).status_code == 413
    assert public.post("/v1/jobs", content=chunks(MAX_LOGIN_BODY), headers=form).status_code == 401


def test_a_body_that_grows_too_large_is_refused(local: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.security.MAX_BODY", 2**20)
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert local.post("/v1/jobs", content=chunks(2**20), headers=form).status_code == 413


# Connections, before a request is there


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only on demand."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += seconds
        self.run_until_complete(asyncio.sleep(0))


class Wire(asyncio.Transport):
    """A fake transport between a client and a connection."""

    is_open = True

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.is_open = False

    def close(self) -> None:
        self.is_open = False

    def is_closing(self) -> bool:
        return not self.is_open

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        pass


REQUEST = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    while tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks))
    loop.close()


@pytest.fixture
def connect(loop: Loop) -> Iterator[Any]:
    """Opens connections that have sent some bytes to an application that never answers."""

    async def app(_scope: Scope, _receive: Any, _send: Any) -> None:
        await loop.create_future()

    config, state, opened = Config(app, http=Connection, lifespan="off"), ServerState(), list[Connection]()

    def connected(sent: bytes = b"") -> tuple[Connection, Wire]:
        wire, connection = Wire(), Connection(config, state, {}, loop)
        opened.append(connection)
        loop.now += 0.001
        connection.connection_made(wire)
        if sent:
            connection.data_received(sent)
        return connection, wire

    yield connected
    for connection in opened:
        connection.connection_lost(None)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n"])
def test_a_connection_without_a_whole_request_is_ended_after_seconds(connect: Any, loop: Loop, sent: bytes) -> None:
    (silent, wire), (_, asking) = connect(sent), connect(REQUEST + b"token=abc")
    loop.pass_s(9)
    silent.data_received(b"X")
    assert wire.is_open
    loop.pass_s(2)
    assert (wire.is_open, asking.is_open) == (False, True)


def test_a_client_that_reads_no_answer_is_disconnected(connect: Any, loop: Loop) -> None:
    connection, wire = connect(REQUEST + b"token=abc")
    connection.pause_writing()
    loop.pass_s(59)
    connection.resume_writing()
    loop.pass_s(59)
    assert wire.is_open
    connection.pause_writing()
    loop.pass_s(61)
    assert not wire.is_open


def test_too_many_connections_end_the_oldest_that_waits_for_its_client(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.security._CONNECTIONS", 3)
    sent = {"asks": REQUEST + b"token=abc", "body": REQUEST, "first": b"", "second": b"GET", "third": b""}
    wires = {name: connect(bytes_)[1] for name, bytes_ in sent.items()}
    assert [name for name, wire in wires.items() if wire.is_open] == ["asks", "body", "third"]
    wires |= {name: connect(REQUEST + b"token=abc")[1] for name in ("fourth", "fifth", "sixth")}
    assert [name for name, wire in wires.items() if wire.is_open] == ["asks", "fourth", "fifth"], "the last ends itself"


def test_a_process_of_few_files_takes_half_as_many_connections(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (8, 8))
    wires = [connect()[1] for _ in range(9)]
    assert [wire.is_open for wire in wires] == [False] * 5 + [True] * 4


def test_a_body_that_does_not_come_is_not_awaited_for_ever(public: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.security._LOGIN_BODY_S", 0.0)
    sent: list[Message] = []

    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": "/login", "query_string": b"", "headers": headers}
    asyncio.run(public.app({**scope, "scheme": "http", "server": ("127.0.0.1", 80)}, receive, send))
    assert sent[0]["status"] == 408


def test_what_visitors_cause_is_logged_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    def logged(line: int, error: Exception | None) -> bool:
        info = error and (type(error), error, None)
        return bool(once.filter(logging.LogRecord("asyncio", logging.ERROR, "loop.py", line, "%s", (1,), info)))

    once, no_files = OnceAMinute(), OSError(errno.EMFILE, "Too many open files")
    assert [logged(7, no_files), logged(7, no_files), logged(8, None), logged(8, None)] == [True, False, True, False]
    assert [logged(9, ZeroDivisionError()) for _ in range(2)] == [True, True], "our own faults"
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert logged(7, no_files)


# Every answer


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/jobs", {}, 200),
        ("/jobs", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/none", {}, 404),
        (CHANGE, {}, 405),
        ("/jobs", {"Host": "evil.example"}, 421),
        ("/fault", {}, 500),
    ],
)
def test_every_answer_has_the_headers(local: TestClient, path: str, headers: dict[str, str], status: int) -> None:
    answer = local.get(path, headers=headers)
    assert answer.status_code == status
    assert set(ALWAYS) <= set(answer.headers)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "ZeroDivision" not in answer.text


# Files, and the path prefix of a proxy


@pytest.mark.parametrize("up", ["..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "....//", "%00"])
def test_nothing_beside_the_static_files_is_served(up: str) -> None:
    client = TestClient(create_app(WebSettings()), ADDRESS)
    for target in ("app.py", "settings.py", "etc/passwd"):
        answer = client.get(f"/static/{up}/{target}")
        assert answer.status_code in {400, 404}
        assert "def " not in answer.text


@pytest.mark.parametrize("before", ["", "/hangtag"])
def test_a_proxy_may_take_its_part_of_the_path_off_or_not(
    serve: Serve, with_token: dict[str, Any], before: str
) -> None:
    client = serve(**with_token, root_path="/hangtag/")
    client.follow_redirects = False
    assert client.get(f"{before}/none?a=1", headers=PAGE).headers["location"] == "/hangtag/login?to=%2Fnone%3Fa%3D1"
    assert client.get(f"{before}/static/web.css").status_code == 200
    assert client.get(f"{before}/static/pages.css").status_code == 200
    assert 'href="/hangtag/static/web.css"' in client.get(f"{before}/login", headers=PAGE).text
    entered = client.post(f"{before}/login", data={"token": TOKEN})
    assert "path=/hangtag;" in entered.headers["set-cookie"].lower()
    assert entered.headers["location"] == "/hangtag/"
    client.cookies.clear()
    assert client.get("/hangtag-login").status_code == 401  # starts like the proxy's path, but is another
    assert client.get("/hangtag/hangtag/login").status_code == 401


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((256, 4096), [(4096, 4096)]),
        ((256, resource.RLIM_INFINITY), [(10_240, resource.RLIM_INFINITY)]),
        ((20_000, 20_000), []),
    ],
)
def test_as_many_files_may_be_open_as_the_system_lets_it(
    before: tuple[int, int], after: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: before)
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limit: limits.append(limit))
    raise_limit_of_files()
    assert limits == after
