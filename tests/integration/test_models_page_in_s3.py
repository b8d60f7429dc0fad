"""The pages of models with a registry in S3."""

from pathlib import Path

from starlette.testclient import TestClient

from models.registry.registry import open_registry
from models.registry.state import CHAMPION
from tests.paper_bundle import write_paper_bundle
from web.app import create_app
from web.settings import WebSettings


def test_cards_reports_and_promotions(bucket: str, tmp_path: Path) -> None:
    place = f"s3://{bucket}/registry"
    registry = open_registry(place)
    (tmp_path / "report.html").write_text("<h1>Report</h1>")
    for seed in (1, 2):
        bundle = write_paper_bundle(tmp_path / str(seed), seed)
        registry.publish("shop", bundle, "made-up", training={"report.html": tmp_path / "report.html"})
    client = TestClient(create_app(WebSettings(registry=place)), base_url="http://127.0.0.1:8800")
    form = {"version": "2", "instead_of": "0", "why": "first"}
    assert client.post("/models/shop/promote", data=form).status_code == 200
    assert registry.state("shop").aliases[CHAMPION] == 2
    assert "shop@2" in client.get("/models").text
    assert "boots, hats" in client.get("/models/shop/2").text
    assert client.get("/models/shop/champion/report").text == "<h1>Report</h1>"
