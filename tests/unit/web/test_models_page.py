"""The pages of models: the shown registry, and the rights to change it."""

import getpass
import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from starlette.testclient import TestClient

from models.registry.history import CHAMPION, Event
from models.registry.registry import Registry, open_registry
from tests.paper_bundle import three_versions, write_paper_bundle
from tests.variants import BECAUSE
from web.app import create_app
from web.routes.models_page import card_html
from web.settings import WebSettings

from .conftest import ADDRESS

REFUSED = "<b>boots</b> lost 7 points."
REPORT = b"<h1>Report</h1><script>alert(1)</script>"
PNG = b"\x89PNG\r\n\x1a\n and a picture"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return three_versions(tmp_path, REFUSED)


def visit(place: str, **settings: object) -> TestClient:
    return TestClient(create_app(WebSettings(registry=place, **settings)), base_url=ADDRESS)  # type: ignore[arg-type]


@pytest.fixture
def client(registry: Registry) -> TestClient:
    return visit(registry.place)


def text_of(client: TestClient, path: str) -> str:
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def change(client: TestClient, what: str, **form: object) -> httpx.Response:
    return client.post(f"/models/shop/{what}", data={key: str(value) for key, value in form.items()})


# All models


def test_each_version_is_there_with_what_the_command_says(client: TestClient) -> None:
    said = text_of(client, "/models")
    assert "shop@2 champion 70.0% (100 validation) none 0.00 MB just now" in said
    assert "shop@3 challenger 80.0% (100 validation) none 0.00 MB just now refused" in said
    assert "refused &lt;b&gt;boots&lt;/b&gt; lost 7 points." in said
    assert said.index("shop@3") < said.index("shop@2") < said.index("shop@1")


def test_an_empty_registry_and_a_place_that_is_none(tmp_path: Path) -> None:
    assert "hangtag models publish bundles/shop" in text_of(visit(str(tmp_path / "nothing")), "/models")
    assert "Expected" in text_of(visit("ftp://models"), "/models")


def test_a_damaged_model_hides_no_other(registry: Registry, tmp_path: Path) -> None:
    registry.publish("toys", write_paper_bundle(tmp_path / "toys", 9), "another")
    (tmp_path / "registry" / "toys" / "history" / "000001.json").write_text("{}")
    said = text_of(visit(registry.place), "/models")
    assert "000001.json in" in said
    assert "shop@2" in said


# One model


@pytest.mark.parametrize("path", ["/models/toys", "/models/..", "/models/shop/9", "/models/shop/staging"])
def test_what_is_not_there(client: TestClient, path: str) -> None:
    assert client.get(path.replace("..", "%2e%2e")).status_code == 404


def test_a_refused_version_says_so_and_asks_twice(client: TestClient) -> None:
    said = text_of(client, "/models/shop/3")
    assert "A gate refused this version. &lt;b&gt;boots&lt;/b&gt; lost 7 points." in said
    assert "Promote this refused version" in said
    assert "although" not in text_of(client, "/models/shop/1")


def test_a_long_reason_is_whole_on_every_page(client: TestClient, registry: Registry) -> None:
    reason = f"Accuracy: {'lost. ' * 100}The end."
    registry.refuse("shop", 3, (reason,), {"points": -7.5})
    places = {"/models": 1, "/models/shop": 2, "/models/shop/3": 3}  # the table, the history, the notice, the dialog
    assert {path: text_of(client, path).count(reason) for path in places} == places


# Its report


@pytest.fixture
def reported(registry: Registry, tmp_path: Path) -> TestClient:
    files = {"report.html": REPORT, "confusion_matrix.png": PNG, "classes.csv": b"split,label\n"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    registry.publish("shop", tmp_path / "1", "", training={name: tmp_path / name for name in files})
    return visit(registry.place)


def test_a_stored_page_may_run_nothing(reported: TestClient) -> None:
    answer = reported.get("/models/shop/1/report")
    assert answer.content == b"<h1>Report</h1>"
    rules = answer.headers["content-security-policy"]
    assert rules.startswith("sandbox; default-src 'none';")
    assert "script" not in rules


def test_what_a_training_left_is_shown_as_what_it_is(reported: TestClient, tmp_path: Path) -> None:
    figures = reported.get("/models/shop/1/classes.csv")
    assert (figures.text, figures.headers["content-type"]) == ("split,label\n", "text/plain; charset=utf-8")
    assert reported.get("/models/shop/1/confusion.png").content == PNG
    assert 'src="/models/shop/1/confusion.png"' in reported.get("/models/shop/1").text
    (tmp_path / "registry" / "shop" / "training" / "1" / "confusion_matrix.png").write_bytes(REPORT)
    assert reported.get("/models/shop/1/confusion.png").status_code == 409
    assert "has no report" in text_of(reported, "/models/shop/2")
    for file in ("report", "classes.csv", "confusion.png"):
        assert reported.get(f"/models/shop/2/{file}").status_code == 404


def test_a_version_leads_to_its_history_and_to_the_report_of_its_cycle(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_bytes(REPORT)
    registry.promote("shop", 1, "passed the gate.", numbers={"won": 7}, cycle="000004")
    client = visit(registry.place)
    assert "promoted shop@1 in cycle 000004 passed the gate. won 7" in text_of(client, "/models/shop/1")
    assert client.get("/models/shop/1/cycle").status_code == 404
    assert "Open the cycle" not in text_of(client, "/models/shop/1")
    registry.keep_cycle_report("shop", 1, tmp_path / "report.html")
    for path in ("/models/shop", "/models/shop/1"):
        assert 'href="/models/shop/1/cycle"' in client.get(path).text
    assert "Open the cycle's report" in text_of(client, "/models/shop/1")
    assert client.get("/models/shop/1/cycle").content == b"<h1>Report</h1>"


# Promoting and rolling back


def last_event(registry: Registry) -> Event:
    event = registry.history("shop").last()
    assert event
    return event


def test_the_history_tells_who_asked_and_why(client: TestClient, registry: Registry) -> None:
    answer = change(client, "promote", version=1, instead_of=2, why="boots are back", who="Anna")
    event = last_event(registry)
    assert (event.version, event.why, event.forced) == (1, "boots are back", False)
    assert event.by.startswith(f"Anna ({getpass.getuser()}@")
    assert registry.state("shop").aliases[CHAMPION] == 1
    assert "shop@1 is the champion now." in text_of(client, answer.json()["to"])
    assert change(client, "promote", version=2, instead_of=1, why="x", who="Anna\nBen").status_code == 422
    assert change(client, "promote", version=1, instead_of=1, why="x").json() == {"to": "/models/shop"}
    assert last_event(registry) == event, "the champion stays"


@pytest.mark.parametrize("name", ["", "Ben B"])
def test_the_cookie_or_the_account_names_the_person(client: TestClient, registry: Registry, name: str) -> None:
    client.cookies.set("hangtag_reviewer", quote(name))
    change(client, "promote", version=1, instead_of=2, why="x")
    assert last_event(registry).by.startswith(f"{name} (" if name else f"{getpass.getuser()}@")


@pytest.mark.parametrize("why", ["", " \n "])
def test_a_reason_is_needed_only_against_a_gate(client: TestClient, registry: Registry, why: str) -> None:
    pages = [client.get(f"/models/shop/{version}", headers={"accept": "text/html"}).text for version in (1, 3)]
    assert [" required" in re.findall(r"<textarea[^>]*>", page)[0] for page in pages] == [False, True]
    assert change(client, "promote", version=3, instead_of=2, why=why, force=True).status_code == 422
    assert registry.state("shop").aliases[CHAMPION] == 2
    assert change(client, "rollback", instead_of=2, why=why).status_code == 200
    assert change(client, "promote", version=2, instead_of=1, why=why).status_code == 200
    assert [event.why for event in registry.history("shop").events()[-2:]] == ["", ""]


def test_of_two_who_see_the_same_page_one_promotes(client: TestClient, registry: Registry) -> None:
    registry.promote("shop", 1, "somebody else was quicker")
    assert change(client, "promote", version=3, instead_of=2, why="x", force=True).status_code == 409
    assert registry.state("shop").aliases[CHAMPION] == 1


def test_a_refused_version_needs_force(client: TestClient, registry: Registry) -> None:
    assert change(client, "promote", version=3, instead_of=2, why="x").status_code == 409
    assert change(client, "promote", version=3, instead_of=2, why="x", force=True).status_code == 200
    assert last_event(registry).forced


def test_the_previous_champion_is_restored(client: TestClient, registry: Registry) -> None:
    assert "Roll back to shop@1" in text_of(client, "/models/shop")
    assert "To undo, promote shop@2." in text_of(client, "/models/shop")
    answer = change(client, "rollback", instead_of=2, why="coats are wrong", who="Anna")
    assert "shop@1 is the champion again" in text_of(client, answer.json()["to"])
    event = last_event(registry)
    assert (event.version, event.why, event.by.split()[0]) == (1, "coats are wrong", "Anna")
    assert "Roll back" not in text_of(client, "/models/shop")


def test_of_two_who_see_the_same_page_one_rolls_back(client: TestClient, registry: Registry) -> None:
    registry.promote("shop", 3, "meanwhile", force=True)
    assert change(client, "rollback", instead_of=2, why="x").status_code == 409
    assert registry.state("shop").aliases[CHAMPION] == 3


# Its card


def test_the_card_of_a_real_bundle(tmp_path: Path, int8_bundle: Path) -> None:
    open_registry(str(tmp_path)).publish("shop", int8_bundle, "first")
    text = text_of(visit(str(tmp_path)), "/models/shop/1")
    for part in ("90% precision promised", "By class, at 90%", "found on", "int8 default", "Proof"):
        assert part in text
    assert f"int8 is the default: {BECAUSE}." in text


def test_the_large_figure_is_the_one_of_the_table(tmp_path: Path) -> None:
    bundle = write_paper_bundle(tmp_path / "bundle", 5)
    manifest = bundle / "manifest.json"
    out_of_fold = '"measured":{"accuracy":0.75,"photos":300,"split":"out-of-fold"}'
    manifest.write_text(re.sub(r'"measured":{[^}]*}', out_of_fold, manifest.read_text()))
    open_registry(str(tmp_path)).publish("shop", bundle, "first")
    assert "75.0% right on 300 out-of-fold photos 50.0% on validation" in text_of(
        visit(str(tmp_path)), "/models/shop/1"
    )


def test_foreign_markdown_adds_no_html_link_or_picture() -> None:
    html = card_html(
        "# A\n\n<script>alert(1)</script> <img src=x onerror=alert(1)>\n\n[a](javascript:alert(1)) "
        "![b](http://evil.example/x.png) <http://evil.example>\n\n| a | b |\n| - | -: |\n| `<b>` | 1 |\n"
    )
    assert set(re.findall(r"</?([a-z0-9]+)", html)) == {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code"}
    assert set(re.findall(r"<[a-z0-9]+ ([^>]*)>", html)) == {'class="n"'}
    assert len(card_html("> " * 5000 + "deep")) < 100_000, "deep nesting ends"
