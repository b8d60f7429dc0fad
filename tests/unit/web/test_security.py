"""Who may ask, tried as somebody would who should not."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, UploadFile, WebSocket
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from models.errors import InputError
from tests.command import one_line, run_hangtag
from web.app import create_app
from web.problems import add_problem_handlers
from web.security import MAX_BODY, MAX_LOGIN_BODY, SEAT_COOKIE, SESSION_COOKIE, SESSION_S, Gate, Sessions
from web.settings import WebSettings

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - made up
PUBLIC = "0.0.0.0"  # noqa: S104 - nothing listens there
OURS = "http://127.0.0.1:8800"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ALWAYS = ("content-security-policy", "x-content-type-options", "referrer-policy", "x-frame-options", "cache-control")
Clients = Callable[..., TestClient]


def probe() -> FastAPI:
    """An application with a page, a change, an upload, and a fault."""
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/page")
    def show(request: Request) -> HTMLResponse:
        return HTMLResponse(request.state.csrf)

    @app.post("/change")
    def change() -> str:
        return "changed"

    @app.post("/upload")
    def upload(photo: UploadFile) -> int:
        return photo.size

    @app.post("/login")
    def login(photo: UploadFile) -> int:
        return photo.size

    @app.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()

    @app.get("/half")
    def half() -> StreamingResponse:
        return StreamingResponse(half_an_answer())

    @app.get("/fault")
    def fault() -> None:
        raise ZeroDivisionError

    return app


def half_an_answer() -> Iterator[str]:
    yield "begun"
    raise ZeroDivisionError


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Clients]:
    """Opens clients of a server with these settings: of the probe, or with ``whole=True`` of the application."""
    opened: list[TestClient] = []

    def open_client(
        *, whole: bool = False, client: str = "10.1.1.1", base: str = OURS, **settings: object
    ) -> TestClient:
        asked = WebSettings(**{"jobs": str(tmp_path / "jobs"), **settings})
        app = create_app(asked) if whole else Gate(probe(), asked, Sessions(asked.token))
        visitor = TestClient(app, base, raise_server_exceptions=False, follow_redirects=False, client=(client, 5000))
        opened.append(visitor)
        return visitor

    yield open_client
    for visitor in opened:
        visitor.close()


@pytest.fixture
def local(visit: Clients) -> TestClient:
    """Of a server on a loopback address."""
    return visit()


@pytest.fixture
def public(visit: Clients) -> TestClient:
    """Of a server that other machines reach."""
    return visit(host=PUBLIC, token=TOKEN, names=("shop.example",))


# The name in the request: DNS rebinding


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8800", "127.0.0.1.evil.example", "0.0.0.0:8800", ""])
def test_a_host_that_leads_here_by_rebinding_is_refused(local: TestClient, host: str) -> None:
    assert local.get("/page", headers={"Host": host}).status_code == 421
    assert local.post("/change", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8800", "localhost:8800", "LOCALHOST", "[::1]:8800"])
def test_this_machines_own_names_are_known(local: TestClient, host: str) -> None:
    assert local.get("/page", headers={"Host": host}).status_code == 200


def test_a_server_that_is_named_is_known_by_its_names_only(public: TestClient) -> None:
    assert public.get("/page", headers={"Host": "shop.example", **BEARER}).status_code == 200
    assert public.get("/page", headers={"Host": "evil.example", **BEARER}).status_code == 421


def test_without_a_name_there_is_no_own_host(visit: Clients) -> None:
    client = visit(host=PUBLIC, token=TOKEN)
    assert client.get("/page", headers={"Host": "any.example", **BEARER}).status_code == 200
    assert client.post("/change", headers={"Host": "", "Origin": "null", **BEARER}).status_code == 421


# The token


@pytest.mark.parametrize("host", [PUBLIC, "::", "192.168.1.7", "shop.example", ""])
def test_another_host_without_a_token_refuses_to_start(host: str) -> None:
    with pytest.raises(InputError, match="--token-file"):
        WebSettings(host=host)


def test_the_command_refuses_as_well(tmp_path: Path) -> None:
    done = run_hangtag("web", "--host", PUBLIC, "--jobs", tmp_path)
    assert done.returncode == InputError.exit_code
    assert "Expected --token-file with --host 0.0.0.0" in one_line(done.stderr)


def test_a_program_without_the_token_is_told_what_to_send(public: TestClient) -> None:
    answer = public.get("/page")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "Expected the header Authorization: Bearer TOKEN."
    other = public.get("/page", headers={"Authorization": "Bearer of-last-year"}).json()["detail"]
    assert other.startswith("Expected the token of this server, got another one")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_no_method_passes_without_the_token(public: TestClient, method: str) -> None:
    assert public.request(method, "/page").status_code == 401
    assert public.request(method, "/change").status_code == 401


@pytest.mark.parametrize(
    "path", ["/loginx", "/login/", "/healthz/x", "/static", "//static/x", "/x/static/web.css", "/%2e/login/../v1/jobs"]
)
def test_paths_that_look_open_are_not(public: TestClient, path: str) -> None:
    assert public.get(path).status_code == 401


@pytest.mark.parametrize(
    "value", [f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", "Bearer ", "Basic " + TOKEN, TOKEN, "Bearer é"]
)
def test_a_wrong_token_opens_nothing(public: TestClient, value: str) -> None:
    assert public.get("/page", headers={"Authorization": value.encode("latin-1")}).status_code == 401


def test_a_program_with_the_token_may_look_and_change(public: TestClient) -> None:
    assert public.get("/page", headers=BEARER).status_code == 200
    assert public.post("/change", headers=BEARER).json() == "changed"


def test_a_person_logs_in_once_and_comes_to_where_they_were_going(visit: Clients) -> None:
    client = visit(whole=True, host=PUBLIC, token=TOKEN)
    page = {"Accept": "text/html"}
    asked = client.get("/no-such-page?row=7", headers=page)
    assert asked.headers["location"] == "/login?to=%2Fno-such-page%3Frow%3D7"
    assert "Ask for it whoever runs this server" in client.get(asked.headers["location"], headers=page).text
    entered = client.post(asked.headers["location"], data={"token": f" {TOKEN}\n"}, headers={"Origin": OURS})
    assert entered.headers["location"] == "/no-such-page?row=7"
    assert client.get("/no-such-page?row=7", headers=page).status_code == 404


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil", "", "x"])
def test_logging_in_leads_nowhere_else(visit: Clients, to: str) -> None:
    client = visit(whole=True, host=PUBLIC, token=TOKEN)
    assert client.post("/login", params={"to": to}, data={"token": TOKEN}).headers["location"] == "/"


def test_ten_wrong_tokens_a_minute_are_tried_by_form_or_header(visit: Clients) -> None:
    client = visit(whole=True, host=PUBLIC, token=TOKEN)
    for n in range(5):
        assert client.post("/login", data={"token": f"guess {n}"}).status_code == 403
        assert client.get("/jobs", headers={"Authorization": f"Bearer guess-{n}"}).status_code == 401
    for refused in (client.post("/login", data={"token": TOKEN}), client.get("/jobs", headers=BEARER)):
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 61


def test_a_program_with_an_old_token_locks_nobody_out(public: TestClient) -> None:
    for _ in range(30):
        assert public.get("/page", headers={"Authorization": "Bearer of-last-year"}).status_code == 401
    assert public.get("/page", headers=BEARER).status_code == 200


def test_wrong_tokens_of_one_address_keep_no_other_out(tmp_path: Path) -> None:
    app = create_app(WebSettings(host=PUBLIC, token=TOKEN, jobs=str(tmp_path)))
    bad, good = (TestClient(app, OURS, client=(address, 5000)) for address in ("10.1.1.1", "10.1.1.2"))
    for n in range(12):
        last = bad.post("/login", data={"token": f"guess {n}"})
    assert last.status_code == 429
    assert good.post("/login", data={"token": TOKEN}, follow_redirects=False).status_code == 303


# Cookies


def logged_in(client: TestClient) -> str:
    """What the session's cookie looks like when it is set."""
    answer = client.post("/login", data={"token": TOKEN})
    return next(cookie for cookie in answer.headers.get_list("set-cookie") if cookie.startswith(SESSION_COOKIE))


def test_no_script_and_no_other_site_gets_the_cookies(visit: Clients) -> None:
    client = visit(whole=True, host=PUBLIC, token=TOKEN)
    seat = client.get("/login", headers={"Accept": "text/html"}).headers["set-cookie"]
    for cookie in (seat, logged_in(client)):
        assert {"httponly", "samesite=lax", "path=/"} <= set(cookie.lower().split("; "))
        assert "secure" not in cookie.lower()


def test_behind_tls_cookies_are_sent_by_tls_only(visit: Clients) -> None:
    client = visit(whole=True, host=PUBLIC, token=TOKEN, base="https://127.0.0.1")
    seat = client.get("/login", headers={"Accept": "text/html"}).headers["set-cookie"]
    for cookie in (seat, logged_in(client)):
        assert "secure" in cookie.lower().split("; ")


def cookies(**values: str) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in values.items())}


def test_a_session_is_known_until_it_is_too_old(public: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Sessions(TOKEN).cookie()
    assert public.get("/page", headers=cookies(hangtag_session=session)).status_code == 200
    later = time.time() + SESSION_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert public.get("/page", headers=cookies(hangtag_session=session)).status_code == 401


def test_a_forged_session_is_none(public: TestClient) -> None:
    until, _, signature = Sessions(TOKEN).cookie().partition(".")
    forged = [f"{int(until) + 9}.{signature}", f"{until}.", f".{signature}", until, "", f"²{until}.{signature}", "x.y"]
    for session in [*forged, Sessions("another-token-of-ours").cookie(), Sessions(None).cookie()]:
        header = f"{SESSION_COOKIE}={session}".encode()
        assert public.get("/page", headers={"Cookie": header}).status_code == 401, session


def test_a_restart_ends_no_session() -> None:
    assert Sessions(TOKEN).is_session(Sessions(TOKEN).cookie())


def test_odd_cookies_of_programs_at_other_ports_hide_none_of_ours(public: TestClient) -> None:
    session = Sessions(TOKEN).cookie()
    odd = f'a{{b}}=1; "; x y=2; ={{}}; {SESSION_COOKIE}={session}'
    assert public.get("/page", headers={"Cookie": odd}).status_code == 200


# Other sites' pages


def seat_and_token(client: TestClient) -> dict[str, str]:
    """What a page of ours sends with a change."""
    answer = client.get("/page")
    return {**cookies(hangtag_seat=answer.cookies[SEAT_COOKIE]), "Origin": OURS, "X-CSRF-Token": answer.text}


def test_a_page_of_ours_may_change_things(local: TestClient) -> None:
    ours = seat_and_token(local)
    assert local.post("/change", headers=ours | {"Sec-Fetch-Site": "same-origin"}).json() == "changed"


@pytest.mark.parametrize(
    "theirs",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "null"},
        {"Origin": "127.0.0.1:8800"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_another_sites_page_changes_nothing_even_with_our_token(local: TestClient, theirs: dict[str, str]) -> None:
    assert local.post("/change", headers=seat_and_token(local) | theirs).status_code == 403


@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_a_browser_without_the_token_of_the_page_changes_nothing(local: TestClient, token: str) -> None:
    ours = {name: value.encode() for name, value in seat_and_token(local).items()}
    assert local.post("/change", headers=ours | {"X-CSRF-Token": token.encode()}).status_code == 403
    del ours["X-CSRF-Token"]
    assert local.post("/change", headers=ours).status_code == 403


def test_the_page_token_of_one_browser_is_no_good_in_another(visit: Clients) -> None:
    one, other = (seat_and_token(visit()) for _ in range(2))
    assert visit().post("/change", headers=one | {"X-CSRF-Token": other["X-CSRF-Token"]}).status_code == 403


def test_a_seat_that_a_sibling_site_has_set_is_no_good_after_logging_in(public: TestClient) -> None:
    """A visitor without a session learns the page token of a seat, and sets that seat in another's browser."""
    theirs = public.get("/page", headers=BEARER)
    session = Sessions(TOKEN).cookie()
    victim = cookies(hangtag_seat=theirs.cookies[SEAT_COOKIE], hangtag_session=session)
    assert public.post("/change", headers=victim | {"Origin": OURS, "X-CSRF-Token": theirs.text}).status_code == 403


def test_no_token_of_a_page_tells_a_visitor_about_the_servers(visit: Clients) -> None:
    """Else the server's token could be guessed elsewhere, without asking."""
    seat = cookies(hangtag_seat="chosen")
    tokens = {
        visit(host=PUBLIC, token=t).get("/page", headers=seat | {"Authorization": f"Bearer {t}"}).text
        for t in (TOKEN, TOKEN + "2")
    }
    assert len(tokens) == 1


def test_an_open_page_goes_on_after_a_restart(visit: Clients) -> None:
    ours = seat_and_token(visit())
    assert visit().post("/change", headers=ours).json() == "changed"


def test_a_bearer_that_is_wrong_replaces_no_page_token(local: TestClient) -> None:
    assert local.post("/change", headers={"Origin": OURS, "Authorization": "Bearer anything"}).status_code == 403


def test_a_bearer_with_cookies_needs_no_page_token(public: TestClient) -> None:
    assert public.post("/change", headers=cookies(a="1") | BEARER).json() == "changed"


@pytest.mark.parametrize("dest", ["image", "script", "iframe", "empty", "object"])
def test_another_sites_page_loads_nothing_of_ours(local: TestClient, dest: str) -> None:
    mode = "navigate" if dest in {"iframe", "object"} else "no-cors"
    theirs = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert local.get("/page", headers=theirs).status_code == 403


def test_a_link_from_a_chat_opens(local: TestClient) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert local.get("/page", headers=link).status_code == 200


def test_no_web_socket_opens(local: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), local.websocket_connect("/socket"):
        pass


# Sizes


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 30, "-1", "1e9", "0x10", "²", ""])
def test_a_body_that_says_that_it_is_too_large_is_refused_unread(local: TestClient, length: str) -> None:
    headers = {"Content-Length": length.encode("latin-1")}
    answer = local.post("/change", headers=headers)
    assert answer.status_code == 413
    assert answer.json()["detail"].endswith("or a catalogue as a file on the server or at a URL.")


def chunks(total: int) -> Iterator[bytes]:
    """A form with one file, without an end and without saying its length."""
    yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    for _ in range(total // 2**16 + 1):
        yield bytes(2**16)


def test_a_visitor_without_the_token_fills_no_disk(public: TestClient) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert public.post("/login", content=chunks(MAX_LOGIN_BODY), headers=form).status_code == 413
    assert public.post("/upload", content=chunks(MAX_LOGIN_BODY), headers=form).status_code == 401


def test_a_body_that_grows_too_large_is_refused(local: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.security.MAX_BODY", 2**20)
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert local.post("/upload", content=chunks(2**20), headers=form).status_code == 413


# Every answer


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/page", {}, 200),
        ("/page", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/none", {}, 404),
        ("/none", {"Accept": "text/html"}, 404),
        ("/change", {}, 405),
        ("/page", {"Host": "evil.example"}, 421),
        ("/fault", {}, 500),
        ("/fault", {"Accept": "text/html"}, 500),
    ],
)
def test_every_answer_has_the_headers(local: TestClient, path: str, headers: dict[str, str], status: int) -> None:
    answer = local.get(path, headers=headers)
    assert answer.status_code == status
    assert set(ALWAYS) <= set(answer.headers)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_fault_amid_an_answer_is_the_one_that_is_logged() -> None:
    client = TestClient(Gate(probe(), WebSettings(), Sessions(None)), OURS)
    with pytest.raises(ZeroDivisionError):
        client.get("/half")


def test_a_fault_is_told_without_its_words(local: TestClient) -> None:
    assert "ZeroDivision" not in local.get("/fault").text


@pytest.mark.parametrize(
    "path", ["/static/web.css", "/static/pages.css", "/healthz", "/login", "/jobs", "/openapi.json"]
)
def test_the_applications_answers_have_them_too(visit: Clients, path: str) -> None:
    for client in (visit(whole=True), visit(whole=True, host=PUBLIC, token=TOKEN)):
        assert set(ALWAYS) <= set(client.get(path).headers)


# Files, and what a proxy puts before paths


@pytest.mark.parametrize("up", ["..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "....//", "%00"])
@pytest.mark.parametrize("target", ["app.py", "settings.py", "etc/passwd"])
def test_nothing_beside_the_static_files_is_served(visit: Clients, up: str, target: str) -> None:
    answer = visit(whole=True).get(f"/static/{up}/{target}")
    assert answer.status_code in {400, 404}
    assert "def " not in answer.text


@pytest.mark.parametrize("before", ["", "/hangtag"])
def test_a_proxy_may_take_its_part_of_the_path_off_or_not(visit: Clients, before: str) -> None:
    client = visit(whole=True, host=PUBLIC, token=TOKEN, root_path="/hangtag")
    page = {"Accept": "text/html"}
    assert client.get(f"{before}/none?a=1", headers=page).headers["location"] == "/hangtag/login?to=%2Fnone%3Fa%3D1"
    assert client.get(f"{before}/static/web.css").status_code == 200
    assert client.get(f"{before}/static/pages.css").status_code == 200
    login = client.get(f"{before}/login", headers=page)
    assert 'href="/hangtag/static/web.css"' in login.text
    assert "Path=/hangtag;" in login.headers["set-cookie"]


def test_a_path_that_only_begins_like_the_proxys_is_another(visit: Clients) -> None:
    client = visit(whole=True, host=PUBLIC, token=TOKEN, root_path="/hangtag")
    assert client.get("/hangtag-login").status_code == 401
    assert client.get("/hangtag/hangtag/login").status_code == 401
