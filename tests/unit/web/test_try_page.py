"""The Try page: the choice of a model, its edge graph for browsers, and heat maps."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat
from starlette.testclient import TestClient

import web
from models.bundle import open_bundle, read_manifest
from models.classifier import load
from tests.until import until
from web.heat_map import GRID, patches

from .conftest import Serve

JPEG = {"content-type": "image/jpeg"}


def try_model(serve: Serve, model: Path) -> tuple[TestClient, dict[str, Any]]:
    """A client of a server with this model, and the page's description of the loaded or refused model."""
    client = serve(model=str(model))

    def described() -> dict[str, Any] | None:
        answer: dict[str, Any] = client.get("/try/model").json()
        return answer if any(answer.values()) else None

    return client, until(described, "the model answers")


def test_an_edge_graph_that_was_changed_is_not_served(serve: Serve, edge_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(edge_bundle, tmp_path / "bundle"))
    client, _ = try_model(serve, copy)
    (copy / "edge.onnx").write_bytes(b"something else")

    answer = client.get("/try/edge.onnx")

    assert answer.status_code == 409
    assert "edge.onnx" in answer.json()["detail"]


def test_only_the_script_that_runs_the_model_may_compile_webassembly(serve: Serve) -> None:
    client = serve()

    assert "wasm" not in client.get("/try").headers["content-security-policy"]
    assert "wasm" not in client.get("/static/try.js").headers["content-security-policy"]
    assert "'wasm-unsafe-eval'" in client.get("/try/edge_worker.js").headers["content-security-policy"]


def test_photos_are_decoded_by_the_very_module_of_the_example() -> None:
    """``tests/integration/test_examples.py`` compares the example's pixels with Hangtag's."""
    root = Path(web.__file__).parents[1]
    assert (root / "web/static/photo.mjs").read_bytes() == (root / "examples/browser/photo.mjs").read_bytes()


def test_the_heat_map_is_what_covering_each_patch_does(serve: Serve, bundle: Path, catalogue: Path) -> None:
    photo = next(file for file in sorted(catalogue.rglob("*.jpg")) if file.stat().st_size > 500).read_bytes()
    classifier = load(bundle)
    side = 2 * classifier.metadata.preprocess.size
    small = Image.open(io.BytesIO(photo))
    small.draft("RGB", (side, side))
    small = small.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.BILINEAR)
    mean = tuple(round(channel) for channel in ImageStat.Stat(small).mean)

    client = serve(model=str(bundle))
    made = client.post("/try/heat-map", content=photo, headers=JPEG).json()

    assert made["label"] == classifier.classify(photo).label
    for place in (0, 27, 63):
        covered = small.copy()
        covered.paste(mean, patches(*small.size)[place])
        table = dict(classifier.classify(covered, len(classifier.labels)).top_k)
        assert made["drops"][place // GRID][place % GRID] == pytest.approx(
            made["confidence"] - table[made["label"]], abs=1e-3
        )
    assert client.post("/try/heat-map", content=b"no photo", headers=JPEG).status_code == 422


def test_the_page_is_told_which_model_answers_and_what_it_promises(serve: Serve, bundle: Path) -> None:
    _, told = try_model(serve, bundle)

    assert told["model"]["reference"] == load(bundle).reference
    assert told["model"]["rule"] == load(bundle).rule
    assert told["edge"] is None
    assert "edge.onnx" in told["no_edge"]


def test_the_edge_graph_is_named_by_the_digest_of_the_model(serve: Serve, edge_bundle: Path) -> None:
    client, told = try_model(serve, edge_bundle)
    rules = told["edge"]
    manifest = read_manifest(edge_bundle).manifest
    (variant,) = manifest.variants.values()

    first = client.get("/try/edge.onnx")
    again = client.get("/try/edge.onnx", headers={"if-none-match": first.headers["etag"]})
    other = client.get("/try/edge.onnx", headers={"if-none-match": '"another"'})

    assert first.content == other.content == (edge_bundle / "edge.onnx").read_bytes()
    assert first.headers["etag"] == f'"{open_bundle(edge_bundle).digest}"'
    assert (again.status_code, again.content) == (304, b"")
    assert rules["thresholds"] == list(variant.ruling_thresholds(len(manifest.labels)))
    assert rules["labels"] == list(manifest.labels)
