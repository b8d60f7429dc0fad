"""The API for programs, and against attacks."""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from PIL import Image
from starlette.testclient import TestClient

from models.classifier import load
from models.preprocess import MAX_BYTES
from tests.unit.catalogue.scripted_server import Answer, ScriptedServer, open_scripted_server
from web.app import create_app
from web.photo_body import MAX_PHOTOS
from web.routes.api import Classified
from web.routes.review_page import SentAnswers
from web.settings import WebSettings

from .conftest import ADDRESS, TOKEN, Serve

PLUGINS = Path(__file__).parents[2] / "plugins"
JPEG = {"content-type": "image/jpeg"}


@pytest.fixture(scope="module")
def client(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a server with a model; read-only. A photo ``BOOM`` kills the server's processes."""
    folder = tmp_path_factory.mktemp("api")
    places = {"jobs": str(folder / "jobs"), "registry": str(folder / "registry"), "model": str(bundle)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PLUGINS))
        with TestClient(create_app(WebSettings(**places)), ADDRESS) as client:
            yield client


@pytest.fixture
def photo() -> bytes:
    return saved(Image.new("RGB", (40, 30), "navy"))


def saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def form(*photos: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("files", (f"{n}.jpg", photo, "image/jpeg")) for n, photo in enumerate(photos)]


def answers(response: Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    Classified.model_validate(response.json())
    photos: list[dict[str, Any]] = response.json()["photos"]
    return photos


def problem(response: Response, status: int) -> str:
    """The detail of a problem document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["title"]
    return str(document["detail"])


def test_photos_of_a_form_are_answered_in_order_and_a_bad_one_fails_alone(
    client: TestClient, bundle: Path, photo: bytes
) -> None:
    sent = form(photo, b"no photo", photo, b"BOOM", b"\xff\xd8" + bytes(MAX_BYTES))

    said = answers(client.post("/v1/classify?top_k=2", files=sent))

    assert [one["photo"] for one in said] == [f"{n}.jpg" for n in range(5)]
    assert [one["status"] == "failed" for one in said] == [False, True, False, True, True]
    assert [one["error"] for one in said] == [None, "unreadable", None, "crashed", "too_large"]
    classifier = load(bundle)
    expected = classifier.classify(photo, 2)
    assert said[0]["model"] == classifier.reference
    assert [(best["label"], best["confidence"]) for best in said[0]["top_k"]] == list(expected.top_k)
    assert said[0]["sha256"] == said[2]["sha256"]


def test_a_photo_may_be_the_body_itself(client: TestClient, photo: bytes) -> None:
    assert answers(client.post("/v1/classify", content=photo, headers=JPEG))[0]["label"]
    assert answers(client.post("/v1/classify?threshold=0.001", content=photo, headers=JPEG))[0]["status"] == "labeled"
    assert "0.5" in problem(client.post("/v1/classify?precision=0.5", content=photo, headers=JPEG), 422)


@pytest.fixture
def server(photo: bytes) -> Iterator[ScriptedServer]:
    """Redirects ``/metadata`` to a cloud's metadata; answers other paths with a photo."""
    with open_scripted_server() as server:
        server.answers = {path: [Answer(photo)] for path in ("/photo", "/other")}
        server.answers["/metadata"] = [Answer(status=302, headers={"Location": "http://169.254.169.254/latest"})]
        yield server


@pytest.fixture
def allowing(serve: Serve, bundle: Path, server: ScriptedServer) -> TestClient:
    """A client of a server that allows the host."""
    return serve(model=str(bundle), allow_host=[server.host])


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:8800/healthz",
        "http://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
        "//etc/passwd",
        "\\\\etc\\passwd",
        "s3://bucket/key",
        "http://user:password@shop.example/1.jpg",
    ],
)
def test_private_addresses_and_other_schemes_are_not_asked(client: TestClient, url: str) -> None:
    (said,) = answers(client.post("/v1/classify", json={"urls": [url]}))

    assert (said["status"], said["error"]) == ("failed", "refused")


def test_an_allowed_host_gives_photos_and_cannot_lead_elsewhere(
    allowing: TestClient, server: ScriptedServer, photo: bytes
) -> None:
    urls = [server.url(path) for path in ("/photo", "/metadata", "/other")]
    said = answers(allowing.post("/v1/classify", json={"urls": urls}))

    assert [one["error"] for one in said] == [None, "refused", None]
    assert [one["photo"] for one in said] == urls
    parts = [("urls", (None, urls[0])), *form(photo), ("urls", (None, "http://10.0.0.1/"))]
    said = answers(allowing.post("/v1/classify", files=parts))
    assert [one["photo"] for one in said] == [urls[0], "0.jpg", "http://10.0.0.1/"]
    assert [one["error"] for one in said] == [None, None, "refused"]


def test_too_many_photos_are_refused(client: TestClient) -> None:
    problem(client.post("/v1/classify", files=form(*[b"x"] * (MAX_PHOTOS + 1))), 413)
    problem(client.post("/v1/classify", json={"urls": ["http://10.0.0.1/"] * (MAX_PHOTOS + 1)}), 413)


def png(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("bomb", "error"),
    [
        (png(60_000, 60_000, zlib.compress(bytes(10_000_000))), "too_large"),  # 10 GB of pixels
        (png(8, 8, zlib.compress(bytes(200_000_000), 1)), None),  # decompressed only up to its 8×8 pixels
        (zlib.compress(bytes(1_000_000)), "unreadable"),
    ],
)
def test_bombs_cost_nothing(client: TestClient, photo: bytes, bomb: bytes, error: str | None) -> None:
    said = answers(client.post("/v1/classify", files=form(bomb, photo)))

    assert [one["error"] for one in said] == [error, None]
    assert said[0]["decode_ms"] < 2000


BOUNDARY = {"content-type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\nx\r\n'


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422),
        ({"json": {"urls": "http://shop.example"}}, 422),
        ({"json": {"urls": []}}, 422),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 422),
        ({"content": b"no form", "headers": BOUNDARY}, 422),
        ({"content": PART % b"urls", "headers": BOUNDARY}, 422),
        ({"content": PART % b"other" + b"--b--\r\n", "headers": BOUNDARY}, 422),
        ({"content": b"x", "headers": JPEG, "params": {"top_k": 0}}, 422),
        ({"content": b"x", "headers": JPEG, "params": {"threshold": "nan"}}, 422),
        ({"content": b"x", "headers": JPEG, "params": {"threshold": 0.5, "precision": 0.9}}, 422),
    ],
)
def test_what_cannot_be_used_is_a_problem_document(
    client: TestClient, photo: bytes, sent: dict[str, Any], status: int
) -> None:
    if sent.get("content") == b"x" and "params" in sent:
        sent = {**sent, "content": photo}

    assert problem(client.post("/v1/classify", **sent), status)


def test_ready_once_the_model_answers_or_if_no_model_is_set(
    client: TestClient, serve: Serve, photo: bytes, bundle: Path
) -> None:
    answers(client.post("/v1/classify", content=photo, headers=JPEG))
    assert client.get("/readyz").json() == {"status": "ready", "model": str(bundle), "note": None}

    without = serve()
    problem(without.post("/v1/classify", content=photo, headers=JPEG), 503)
    ready = without.get("/readyz").json()
    assert (ready["status"], ready["model"], bool(ready["note"])) == ("ready", None, True)

    named = serve(model="no-such-model")
    problem(named.post("/v1/classify", content=photo, headers=JPEG), 503)
    assert "no-such-model" in problem(named.get("/readyz"), 503)


def test_metrics_count_requests_and_photos(client: TestClient, photo: bytes) -> None:
    client.post("/v1/classify", files=form(photo, b"no photo"))
    client.get("/v1/a-path-of-somebodys-own")

    text = client.get("/metrics").text

    assert 'hangtag_web_requests_total{method="POST",route="/v1/classify",status="200"} ' in text
    assert 'hangtag_web_photos_total{error="unreadable",status="failed"} ' in text
    assert 'route="none",status="404"' in text
    assert "somebodys-own" not in text
    described = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP hangtag_web_")}
    assert [name for name in names if name not in described and not name.endswith("_created")] == []


def test_the_api_wants_the_token(serve: Serve, with_token: dict[str, Any], bundle: Path, photo: bytes) -> None:
    client = serve(model=str(bundle), **with_token)
    bearer = {"authorization": f"Bearer {TOKEN}"}

    problem(client.post("/v1/classify", content=photo, headers=JPEG), 401)
    problem(client.get("/metrics"), 401)
    assert answers(client.post("/v1/classify", content=photo, headers={**JPEG, **bearer}))
    shown = unescape(client.get("/api", headers=bearer).text)
    assert "curl -H 'Authorization: Bearer TOKEN' -F files=@boot.jpg" in shown
    assert shown.index("/v1/jobs") < shown.index("/healthz")
    (sent,) = re.findall(r"-d '({\"reviewer.*)' \S+/v1/jobs/spring/answers", shown)
    assert SentAnswers.model_validate_json(sent.replace("SHA-256 of a question", "a" * 64)).reviewer == "anna"
