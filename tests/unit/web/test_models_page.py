"""The pages of models: what they show of a registry, who may change what, and two versions side by side."""

import getpass
import json
import re
import threading
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from models.errors import BusyError
from models.registry.registry import Registry, open_registry
from models.registry.state import CHALLENGER, CHAMPION
from models.storage.storage import FolderStorage
from tests.paper_bundle import write_paper_bundle
from tests.review_jobs import doubtful, labelled_job
from tests.until import until
from tests.variants import BECAUSE
from web.app import create_app
from web.comparisons import ComparisonKey, Comparisons
from web.model_card import card_html
from web.settings import WebSettings
from worker.job.job import Job, open_job
from worker.registry.console import VersionName

ADDRESS = "http://127.0.0.1:8800"
REFUSED = "<b>boots</b> lost 7 points."
REPORT = b"<h1>Report</h1><script>alert(1)</script>"
PNG = b"\x89PNG\r\n\x1a\n and a picture"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Three versions: an earlier champion, the champion, and a challenger that was refused."""
    registry = open_registry(str(tmp_path / "registry"))
    for seed, labels in ((1, ["boots", "hats"]), (2, ["boots", "coats"]), (3, ["boots", "coats"])):
        bundle = write_paper_bundle(tmp_path / str(seed), seed, labels=labels, accuracy=0.5 + seed / 10)
        registry.publish("shop", bundle, f"made-up {seed}", alias=CHALLENGER)
        if seed < 3:
            registry.promote("shop", seed, "better", numbers={"points": 1.25}, cycle="000002")
    registry.refuse("shop", 3, (REFUSED,), {"points": -7.0})
    return registry


def visit(place: str, **settings: object) -> TestClient:
    return TestClient(create_app(WebSettings(registry=place, **settings)), base_url=ADDRESS)  # type: ignore[arg-type]


@pytest.fixture
def client(registry: Registry) -> TestClient:
    return visit(registry.place)


def text_of(client: TestClient, path: str) -> str:
    """What a page says, tags left out."""
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def change(client: TestClient, what: str, **form: object) -> httpx.Response:
    return post(client, f"/models/shop/{what}", {key: str(value) for key, value in form.items()})


def post(client: TestClient, path: str, form: dict[str, str]) -> httpx.Response:
    """Send a form as a page of ours does."""
    token = re.search('name="csrf" content="([^"]+)"', client.get("/models", headers={"accept": "text/html"}).text)
    assert token
    return client.post(path, data=form, headers={"x-csrf-token": token[1]})


class TestAllModels:
    def test_each_version_is_there_with_what_the_command_says(self, client: TestClient) -> None:
        said = text_of(client, "/models")
        assert "shop@2 champion tried here 70.0% (validation) none 0.00 MB just now" in said
        assert "shop@3 challenger 80.0% (validation) none 0.00 MB just now refused" in said
        assert "refused &lt;b&gt;boots&lt;/b&gt; lost 7 points." in said
        assert said.index("shop@3") < said.index("shop@2") < said.index("shop@1")

    def test_an_empty_registry_says_how_to_begin(self, tmp_path: Path) -> None:
        said = text_of(visit(str(tmp_path / "nothing")), "/models")
        assert "No model is here yet" in said
        assert "hangtag models publish bundles/shop" in said

    def test_a_place_that_is_no_registry_is_told(self) -> None:
        assert "Expected" in text_of(visit("ftp://models"), "/models")

    def test_a_damaged_model_hides_no_other(self, registry: Registry, tmp_path: Path) -> None:
        registry.publish("toys", write_paper_bundle(tmp_path / "toys", 9), "another")
        (tmp_path / "registry" / "toys" / "history" / "000001.json").write_text("{}")
        said = text_of(visit(registry.place), "/models")
        assert "000001.json in" in said
        assert "shop@2" in said

    def test_the_bundle_of_the_command_line_has_a_card(self, registry: Registry, tmp_path: Path) -> None:
        client = visit(registry.place, model=str(tmp_path / "1"))
        assert str(tmp_path / "1") in text_of(client, "/models")
        assert "boots, hats" in text_of(client, "/models/_served")
        assert "tried here" not in text_of(client, "/models")

    def test_without_such_a_bundle_there_is_no_card_of_it(self, client: TestClient) -> None:
        assert client.get("/models/_served").status_code == 404

    def test_of_several_models_none_is_tried_unless_it_is_named(self, registry: Registry, tmp_path: Path) -> None:
        registry.publish("toys", write_paper_bundle(tmp_path / "toys", 9), "another")
        assert "No model can be tried here." in text_of(visit(registry.place), "/models")
        assert "shop@1 tried here" in text_of(visit(registry.place, model="shop@1"), "/models")


class TestOneModel:
    def test_the_history_says_who_did_what_and_why(self, client: TestClient) -> None:
        said = text_of(client, "/models/shop")
        assert "promoted shop@2 in cycle 000002 better points 1.25" in said
        assert getpass.getuser() in said
        assert said.rindex("published shop@1") > said.rindex("promoted shop@2")

    @pytest.mark.parametrize("path", ["/models/toys", "/models/..", "/models/shop/9", "/models/shop/staging"])
    def test_what_is_not_there(self, client: TestClient, path: str) -> None:
        assert client.get(path.replace("..", "%2e%2e")).status_code == 404

    def test_an_alias_leads_to_its_version(self, client: TestClient) -> None:
        assert "shop@2 champion" in text_of(client, "/models/shop/champion")

    def test_a_refused_version_says_so_and_asks_twice(self, client: TestClient) -> None:
        said = text_of(client, "/models/shop/3")
        assert "A gate refused it. &lt;b&gt;boots&lt;/b&gt; lost 7 points." in said
        assert "Promote it although it was refused" in said
        assert "although" not in text_of(client, "/models/shop/1")

    def test_a_damaged_bundle_is_told(self, client: TestClient, tmp_path: Path) -> None:
        (tmp_path / "registry" / "shop" / "1" / "manifest.json").write_text("{}")
        assert client.get("/models/shop/1").status_code == 409


class TestReport:
    @pytest.fixture
    def reported(self, registry: Registry, tmp_path: Path) -> TestClient:
        files = {"report.html": REPORT, "confusion_matrix.png": PNG, "classes.csv": b"split,label\n"}
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        registry.publish("shop", tmp_path / "1", "", training={name: tmp_path / name for name in files})
        return visit(registry.place)

    def test_a_stored_page_may_run_nothing(self, reported: TestClient) -> None:
        answer = reported.get("/models/shop/1/report")
        assert answer.content == b"<h1>Report</h1>"
        rules = answer.headers["content-security-policy"]
        assert rules.startswith("sandbox; default-src 'none';")
        assert "script" not in rules

    def test_the_figures_of_each_class_are_text(self, reported: TestClient) -> None:
        answer = reported.get("/models/shop/1/classes.csv")
        assert (answer.text, answer.headers["content-type"]) == ("split,label\n", "text/plain; charset=utf-8")
        assert reported.get("/models/shop/2/classes.csv").status_code == 404

    def test_the_confusion_matrix_is_a_picture_and_nothing_else(self, reported: TestClient, tmp_path: Path) -> None:
        assert reported.get("/models/shop/1/confusion.png").content == PNG
        (tmp_path / "registry" / "shop" / "training" / "1" / "confusion_matrix.png").write_bytes(REPORT)
        assert reported.get("/models/shop/1/confusion.png").status_code == 409

    def test_the_page_leads_there(self, reported: TestClient) -> None:
        assert 'src="/models/shop/1/confusion.png"' in reported.get("/models/shop/1").text
        assert "keeps no report" not in text_of(reported, "/models/shop/1")

    def test_without_them_the_page_says_where_they_are(self, client: TestClient) -> None:
        assert "keeps no report" in text_of(client, "/models/shop/1")
        assert client.get("/models/shop/1/report").status_code == 404


class TestPromote:
    def test_the_history_tells_who_asked_and_why(self, client: TestClient, registry: Registry) -> None:
        answer = change(client, "promote", version=1, instead_of=2, why="boots are back", who="Anna")
        assert answer.status_code == 200, answer.text
        event = registry.history("shop").last()
        assert event
        assert (event.version, event.why, event.forced) == (1, "boots are back", False)
        assert event.by.startswith(f"Anna ({getpass.getuser()}@")
        assert registry.state("shop").aliases[CHAMPION] == 1
        assert "shop@1 is the champion now. It promises no precision" in text_of(client, answer.json()["to"])

    def test_without_a_name_the_account_did_it(self, client: TestClient, registry: Registry) -> None:
        change(client, "promote", version=1, instead_of=2, why="x")
        event = registry.history("shop").last()
        assert event
        assert event.by.startswith(f"{getpass.getuser()}@")

    def test_the_cookie_names_the_person(self, registry: Registry) -> None:
        client = visit(registry.place)
        client.cookies.set("hangtag_reviewer", "Ben%20B")
        answer = change(client, "promote", version=1, instead_of=2, why="x")
        assert answer.status_code == 200, answer.text
        event = registry.history("shop").last()
        assert event
        assert event.by.startswith("Ben B (")

    @pytest.mark.parametrize("why", ["", " \n "])
    def test_a_reason_is_needed_only_against_a_gate(self, client: TestClient, registry: Registry, why: str) -> None:
        assert change(client, "promote", version=3, instead_of=2, why=why, force=True).status_code == 422
        assert registry.state("shop").aliases[CHAMPION] == 2
        assert change(client, "rollback", instead_of=2, why=why).status_code == 200
        assert change(client, "promote", version=2, instead_of=1, why=why).status_code == 200
        assert [event.why for event in registry.history("shop").events()[-2:]] == ["", ""]

    def test_the_page_asks_for_a_reason_only_against_a_gate(self, client: TestClient) -> None:
        headers = {"accept": "text/html"}
        asked = {version: client.get(f"/models/shop/{version}", headers=headers).text for version in (1, 3)}
        fields = {version: re.findall(r"<textarea[^>]*>", page) for version, page in asked.items()}
        assert {version: ["required" in one for one in found] for version, found in fields.items()} == {
            1: [False],
            3: [True],
        }

    def test_a_name_that_breaks_the_line_is_refused(self, client: TestClient) -> None:
        assert change(client, "promote", version=1, instead_of=2, why="x", who="Anna\nBen").status_code == 422

    def test_of_two_who_see_the_same_page_one_promotes(self, client: TestClient, registry: Registry) -> None:
        registry.promote("shop", 1, "somebody else was quicker")
        answer = change(client, "promote", version=3, instead_of=2, why="x", force=True)
        assert answer.status_code == 409
        assert answer.json()["detail"] == "shop@3 was compared with version 2, but 1 is champion by now."
        assert registry.state("shop").aliases[CHAMPION] == 1

    def test_a_refused_version_needs_force(self, client: TestClient, registry: Registry) -> None:
        answer = change(client, "promote", version=3, instead_of=2, why="x")
        assert answer.status_code == 409
        assert "was refused: <b>boots</b> lost 7 points" in answer.json()["detail"]
        assert change(client, "promote", version=3, instead_of=2, why="x", force=True).status_code == 200
        event = registry.history("shop").last()
        assert event
        assert event.forced

    def test_the_champion_stays(self, client: TestClient, registry: Registry) -> None:
        answer = change(client, "promote", version=2, instead_of=2, why="x")
        assert answer.json() == {"said": "shop@2 is the champion already.", "to": "/models/shop"}
        assert len(registry.history("shop").events()) == 6

    def test_another_site_cannot(self, client: TestClient, registry: Registry) -> None:
        form = {"version": "1", "instead_of": "2", "why": "x"}
        answer = client.post("/models/shop/promote", data=form, headers={"origin": "http://evil.example"})
        assert answer.status_code == 403
        assert registry.state("shop").aliases[CHAMPION] == 2


class TestRollBack:
    def test_the_previous_champion_is_restored(self, client: TestClient, registry: Registry) -> None:
        assert "Roll back to shop@1" in text_of(client, "/models/shop")
        answer = change(client, "rollback", instead_of=2, why="coats are wrong", who="Anna")
        assert "shop@1 is the champion again" in text_of(client, answer.json()["to"])
        event = registry.history("shop").last()
        assert event
        assert (event.version, event.why, event.by.split()[0]) == (1, "coats are wrong", "Anna")
        assert "Roll back" not in text_of(client, "/models/shop")

    def test_of_two_who_see_the_same_page_one_rolls_back(self, client: TestClient, registry: Registry) -> None:
        registry.promote("shop", 3, "meanwhile", force=True)
        answer = change(client, "rollback", instead_of=2, why="x")
        assert answer.status_code == 409
        assert "Meanwhile shop@3 became champion instead of shop@2" in answer.json()["detail"]
        assert registry.state("shop").aliases[CHAMPION] == 3


class TestCard:
    def test_a_real_bundle(self, tmp_path: Path, sure_bundle: Path) -> None:
        open_registry(str(tmp_path)).publish("shop", sure_bundle, "first")
        said = text_of(visit(str(tmp_path)), "/models/shop/1")
        for part in ("90% precision promised", "By class, at 90%", "found on", "float32 default", "photos/s", "Proof"):
            assert part in said
        assert "98% 50% 50%" in said
        assert "99% 50% 50% never" in said

    def test_it_says_why_the_default_variant_is_the_default(self, tmp_path: Path, int8_bundle: Path) -> None:
        open_registry(str(tmp_path)).publish("shop", int8_bundle, "first")
        said = text_of(visit(str(tmp_path)), "/models/shop/1")
        assert "int8 default" in said
        assert f"int8 is the default: {BECAUSE}." in said

    def test_markdown_of_others_brings_no_html_no_link_and_no_picture(self) -> None:
        html = card_html(
            "# A\n\n<script>alert(1)</script> <img src=x onerror=alert(1)>\n\n[a](javascript:alert(1)) "
            "![b](http://evil.example/x.png) <http://evil.example>\n\n| a | b |\n| - | -: |\n| `<b>` | 1 |\n"
        )
        assert set(re.findall(r"</?([a-z0-9]+)", html)) == {
            "h3",
            "p",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "code",
        }
        assert set(re.findall(r"<[a-z0-9]+ ([^>]*)>", html)) == {'class="n"'}

    def test_deep_nesting_ends(self) -> None:
        assert len(card_html("> " * 5000 + "deep")) < 100_000


class TestCompare:
    @pytest.fixture
    def job(self, tmp_path: Path) -> Path:
        return labelled_job(tmp_path / "job", doubtful(3))

    def test_two_versions_side_by_side(self, client: TestClient) -> None:
        said = text_of(client, "/models/_compare?before=shop@1&after=shop@champion")
        assert "Labels added coats Labels removed hats" in said
        assert "float32 validation accuracy 60.0% 70.0%" in said
        assert "preprocess size" in said
        assert "promoted shop@1" in said
        assert "There is no finished job yet." in said

    @pytest.mark.parametrize("which", ["shop", "shop@9", "toys@1", "../x@1"])
    def test_a_version_that_is_not_there(self, client: TestClient, which: str) -> None:
        assert client.get("/models/_compare", params={"before": which, "after": "shop@1"}).status_code == 404

    def test_an_unfinished_job_is_refused(self, registry: Registry, job: Path) -> None:
        client = visit(registry.place, results=(job,))
        (job.with_name(f"{job.name}.job") / "receipt.json").unlink(missing_ok=True)
        (id,) = (found.id for found in client.app.state.hangtag.jobs.all())  # type: ignore[attr-defined]
        form = {"before": "shop@1", "after": "shop@2", "job": id}
        assert post(client, "/models/_compare/rows", form).status_code == 409


class TestComparisons:
    @pytest.fixture
    def job(self, tmp_path: Path) -> Job:
        result = labelled_job(tmp_path / "job", doubtful(3))
        job = open_job(FolderStorage(result.with_name(f"{result.name}.job")))
        assert job
        return job

    def test_a_model_that_cannot_run_is_told(self, registry: Registry, job: Job) -> None:
        comparisons, key = Comparisons(), ComparisonKey("job", "a", "b")
        found = comparisons.start(key, job, registry, VersionName("shop", 1), VersionName("shop", 2))
        until(lambda: not found.is_running, "it ends")
        assert found.trouble
        assert comparisons.running() is None
        comparisons.close()

    def test_there_is_one_at_a_time_and_it_can_be_stopped(self, registry: Registry, job: Job) -> None:
        comparisons = Comparisons()
        first, second = ComparisonKey("job", "a", "b"), ComparisonKey("job", "a", "c")
        versions = VersionName("shop", 1), VersionName("shop", 2)
        blocked = threading.Event()
        slow = _Slow(registry, blocked)
        found = comparisons.start(first, job, slow, *versions)
        assert comparisons.start(first, job, slow, *versions) is found
        with pytest.raises(BusyError, match="shop@1 → shop@2 runs"):
            comparisons.start(second, job, slow, *versions)
        comparisons.stop(first)
        assert (found.trouble, comparisons.running()) == ("It was stopped.", None)
        blocked.set()
        assert comparisons.start(second, job, slow, *versions).is_running
        comparisons.close()


class _Slow(Registry):
    """Gives no bundle before a test lets it."""

    def __init__(self, registry: Registry, go: threading.Event) -> None:
        super().__init__(FolderStorage(Path(registry.place)))
        self._go = go

    def path(self, name: str, version: int) -> Path:
        assert self._go.wait(20)
        return super().path(name, version)


def test_a_comparison_on_a_job(tmp_path: Path, sure_bundle: Path, unsure_bundle: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    for bundle in (sure_bundle, unsure_bundle):
        registry.publish("shop", bundle, "made")
    result = finished_job(tmp_path, sure_bundle)
    client = visit(registry.place, results=(result,))
    (id,) = (found.id for found in client.app.state.hangtag.jobs.all())  # type: ignore[attr-defined]
    form = {"before": "shop@1", "after": "shop@2", "job": id}
    with client:
        answer = post(client, "/models/_compare/rows", form)
        assert answer.status_code == 200, answer.text
        assert answer.headers["hx-replace-url"].startswith("/models/_compare?before=shop%401&after=shop%402&job=")
        until(lambda: "hx-trigger" not in client.get("/models/_compare/rows", params=form).text, "it ends")
        said = text_of(client, answer.headers["hx-replace-url"])
    assert "0% of labels would change" in said
    assert "6 rows compared all of them" in said
    assert "1 row could not be labelled by both." in said


def finished_job(folder: Path, bundle: Path) -> Path:
    """Six photos and a row without one, labelled."""
    from PIL import Image

    from worker.label import label
    from worker.request import JobOptions, LabelRequest

    photos = folder / "photos"
    photos.mkdir()
    for number in range(6):
        Image.new("RGB", (40, 30), (40 * number, 90, 20)).save(photos / f"{number}.png")
    lines = ["image", *(f"{number}.png" for number in range(6)), "gone.png"]
    (folder / "shop.csv").write_text("\n".join(lines) + "\n")
    result = folder / "labels.parquet"
    request = LabelRequest(folder / "shop.csv", bundle, JobOptions(image_root=str(photos)), output=result, workers=1)
    label(request, lambda *_: None)
    assert json.loads((folder / "labels.parquet.job" / "receipt.json").read_text())["rows"] == 7
    return result
