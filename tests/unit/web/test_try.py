"""The Try page: which model answers, its edge graph for browsers, and heat maps."""

import asyncio
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat
from starlette.testclient import TestClient

import web
from models.bundle import open_bundle
from models.classifier import load
from models.decision import Prediction
from tests.until import until
from web.app import create_app
from web.classify import ClassifierPool
from web.classify_queue import Answer
from web.heat_map import GRID, HeatMaps, patches
from web.problems import Problem
from web.settings import WebSettings

Visit = Callable[[Path], TestClient]


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visit]:
    """Opens clients of a server with this model, once the model is there, or is refused."""
    with ExitStack() as opened:

        def visited(model: Path) -> TestClient:
            places = {"jobs": str(tmp_path / "jobs"), "registry": str(tmp_path / "registry")}
            app = create_app(WebSettings(**places, model=str(model)))
            client = opened.enter_context(TestClient(app, "http://127.0.0.1:8800"))
            until(lambda: any(said(client).values()), "the model answers")
            return client

        yield visited


def said(client: TestClient) -> dict[str, Any]:
    """What the page learns of the model."""
    answer: dict[str, Any] = client.get("/try/model").json()
    return answer


def test_the_page_is_told_which_model_answers_and_what_it_promises(visit: Visit, bundle: Path) -> None:
    told = said(visit(bundle))

    assert told["model"]["reference"] == load(bundle).reference
    assert told["model"]["rule"] == load(bundle).rule
    assert told["edge"] is None
    assert told["no_edge"] == f"{bundle} has no edge.onnx; make one with hangtag export --edge."


def test_without_a_model_the_page_is_told_why(visit: Visit, tmp_path: Path) -> None:
    client = visit(tmp_path / "nothing")

    assert str(tmp_path / "nothing") in said(client)["trouble"]
    assert client.get("/try").status_code == 200
    assert client.get("/try/edge.onnx").status_code == 503


def test_the_edge_graph_is_named_by_the_digest_of_the_model(visit: Visit, edge_bundle: Path) -> None:
    client = visit(edge_bundle)
    rules = said(client)["edge"]
    manifest = json.loads((edge_bundle / "manifest.json").read_text())
    (variant,) = manifest["variants"].values()

    first = client.get("/try/edge.onnx")
    again = client.get("/try/edge.onnx", headers={"if-none-match": first.headers["etag"]})
    other = client.get("/try/edge.onnx", headers={"if-none-match": '"another"'})

    assert first.content == other.content == (edge_bundle / "edge.onnx").read_bytes()
    assert first.headers["etag"] == f'"{open_bundle(edge_bundle).digest}"'
    assert (again.status_code, again.content) == (304, b"")
    assert rules["thresholds"] == variant["targets"][0]["thresholds"]
    assert rules["labels"] == manifest["labels"]


def test_an_edge_graph_that_was_changed_is_not_served(visit: Visit, edge_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(edge_bundle, tmp_path / "bundle"))
    client = visit(copy)
    (copy / "edge.onnx").write_bytes(b"something else")

    answer = client.get("/try/edge.onnx")

    assert answer.status_code == 409
    assert "is not the file that was exported" in answer.json()["detail"]


def test_a_lone_file_has_no_edge_graph(visit: Visit, bundle: Path) -> None:
    told = said(visit(bundle / "model.onnx"))

    assert told["edge"] is None
    assert "a lone ONNX file" in told["no_edge"]


def test_only_the_script_that_runs_the_model_may_compile_webassembly(visit: Visit, bundle: Path) -> None:
    client = visit(bundle)

    assert "wasm" not in client.get("/try").headers["content-security-policy"]
    assert "wasm" not in client.get("/static/try.js").headers["content-security-policy"]
    assert "'wasm-unsafe-eval'" in client.get("/try/edge_worker.js").headers["content-security-policy"]


def test_photos_are_decoded_by_the_very_module_of_the_example() -> None:
    """Whose pixels are compared with Hangtag's own in ``tests/integration/test_examples.py``."""
    root = Path(web.__file__).parents[1]
    assert (root / "web/static/photo.mjs").read_bytes() == (root / "examples/browser/photo.mjs").read_bytes()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.jpg", "file:///etc/passwd", "s3://bucket/x.jpg", "x.jpg"])
def test_a_url_that_the_worker_would_refuse_is_refused(visit: Visit, bundle: Path, url: str) -> None:
    answer = visit(bundle).post("/try/photo", json={"urls": [url]})

    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_the_heat_map_is_what_covering_each_patch_does(visit: Visit, bundle: Path, catalogue: Path) -> None:
    photo = next(file for file in sorted(catalogue.rglob("*.jpg")) if file.stat().st_size > 500).read_bytes()
    classifier = load(bundle)
    side = 2 * classifier.metadata.preprocess.size
    small = Image.open(io.BytesIO(photo))
    small.draft("RGB", (side, side))
    small = small.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.BILINEAR)
    mean = tuple(round(channel) for channel in ImageStat.Stat(small).mean)

    answer = visit(bundle).post("/try/heat-map", content=photo, headers={"content-type": "image/jpeg"})

    made = answer.json()
    assert made["label"] == classifier.classify(photo).label
    for place in (0, 27, 63):
        covered = small.copy()
        covered.paste(mean, patches(*small.size)[place])
        table = dict(classifier.classify(covered, len(classifier.labels)).top_k)
        assert made["drops"][place // GRID][place % GRID] == pytest.approx(
            made["confidence"] - table[made["label"]], abs=1e-3
        )


def test_a_photo_that_cannot_be_read_has_no_heat_map(visit: Visit, bundle: Path) -> None:
    answer = visit(bundle).post("/try/heat-map", content=b"no photo", headers={"content-type": "image/jpeg"})

    assert answer.status_code == 422
    assert "It is text, not a photo" in answer.json()["detail"]


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (128, 96), (1000, 64)])
def test_patches_cover_the_whole_photo(size: tuple[int, int]) -> None:
    covered = Image.new("L", size)
    for box in patches(*size):
        covered.paste(255, box)

    assert len(patches(*size)) == GRID * GRID
    assert covered.getextrema() == (255, 255)


class _SlowPool:
    """Answers once it may, and notes how many photos it was given at once."""

    model = type("Model", (), {"size": 16, "labels": ("boot", "hat")})

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.sizes: list[int] = []

    async def classify(self, photos: list[bytes], _top_k: int) -> list[Answer]:
        self.sizes.append(len(photos))
        await self.may.wait()
        best = Prediction("boot", 0.75, None, (("boot", 0.75), ("hat", 0.25)))
        return [Answer("", "", best) for _ in photos]


def test_one_heat_map_is_made_at_a_time_and_gives_way_to_others_between_small_batches() -> None:
    async def two() -> tuple[list[int], int]:
        pool = _SlowPool()
        maps = HeatMaps(pool)  # type: ignore[arg-type]
        first = asyncio.create_task(maps.make(_photo()))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await maps.make(_photo())
        pool.may.set()
        await first
        await maps.make(_photo())  # once it is done, the next may begin
        return pool.sizes, refused.value.status

    sizes, status = asyncio.run(two())

    assert status == 429
    assert max(sizes) <= 8
    assert sum(sizes) == 2 * (2 + GRID * GRID)


def _photo() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "navy").save(file, "PNG")
    return file.getvalue()


def test_without_a_model_no_heat_map_is_made(tmp_path: Path) -> None:
    pool = ClassifierPool(str(tmp_path / "nothing"), "none", processes=1)
    try:
        with pytest.raises(Problem) as refused:
            asyncio.run(HeatMaps(pool).make(_photo()))
    finally:
        pool.close()
    assert refused.value.status == 503
