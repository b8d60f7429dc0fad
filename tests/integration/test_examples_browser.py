"""``examples/browser``, built and used in a real Chromium."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.example_runs.page import Page, build
from benchmarks.example_runs.said import hangtag_says
from models.classifier import load
from models.preprocess import Pixels

from .examples import EdgeSays, whole_pixels

READ_PHOTO = """(async (data) => {{
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const {{ rgb, width, height }} = await (await import("./photo.mjs")).readPhoto(new Blob([bytes(data)]));
    const text = await new Promise((done) => {{
        const reader = new FileReader();
        reader.onload = () => done(reader.result.split(",")[1]);
        reader.readAsDataURL(new Blob([rgb]));
    }});
    return JSON.stringify([width, height, text]);
}})("{data}")"""


def test_the_labels_are_hangtags(page: Page, edge_bundle: Path, ordinary: list[Path]) -> None:
    expected = hangtag_says(load(edge_bundle), ordinary)
    assert [said.label for said in page.says(ordinary)] == [said.label for said in expected]
    assert page.tab.complaints() == []


def test_it_says_when_a_person_should_look(page: Page, edge_says: EdgeSays, ordinary: list[Path]) -> None:
    cards, expected = page.choose(ordinary), edge_says(ordinary)
    assert len({prediction.reason for prediction in expected}) > 1, "a reason that is always the same proves nothing"
    assert [card.doubt or None for card in cards] == [prediction.reason for prediction in expected]
    assert [card.confidence for card in cards] == pytest.approx([e.confidence for e in expected], abs=1e-4)
    assert ["a person should look" in card.text for card in cards] == [prediction.review for prediction in expected]


def test_every_pixel_is_hangtags(page: Page, ordinary: list[Path], odd: list[Path]) -> None:
    for photo in [*ordinary[:3], *odd]:
        ours, theirs = whole_pixels(photo).astype(int), pixels_in(page, photo)
        assert ours.shape == theirs.shape, photo.name
        rounding = 2 if photo.name == "profile.jpg" else 0  # two colour engines
        assert np.abs(ours - theirs).max() <= rounding, photo.name


def test_dropped_photos_come_on_top(page: Page, ordinary: list[Path]) -> None:
    page.choose(ordinary[:2])
    cards = page.drop(ordinary[2:4])
    assert [card.file for card in cards] == [photo.name for photo in [*ordinary[2:4], *ordinary[:2]]]
    assert all(card.label for card in cards)


def test_what_is_no_photo_is_said_and_the_next_is_labelled(page: Page, ordinary: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    first, second = page.choose([broken, ordinary[0]])
    assert first.state == "failed"
    assert "cannot be read" in first.text
    assert second.label


def test_no_request_leaves_the_host_and_none_is_needed(page: Page, ordinary: list[Path]) -> None:
    page.tab.tell("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    assert all(card.label for card in page.choose(ordinary[:2]))
    asked = page.tab.requests()
    assert f"{page.url}vendor/ort-wasm-simd-threaded.wasm" in asked, "requests are seen"
    assert [url for url in asked if not url.startswith((page.url, f"blob:{page.url}"))] == []


def test_a_photo_that_is_shown_is_not_held(page: Page, ordinary: list[Path]) -> None:
    page.choose(ordinary[:1])
    let_go = """new Promise((done) => {
        const { src } = document.querySelector(".card img");
        const look = () => fetch(src).then(() => setTimeout(look, 20), () => done(1));
        look();
    })"""
    assert page.tab.run(let_go) == "1"
    assert page.tab.run("document.querySelector('.card img').naturalWidth") != "0", "it is still shown"


def test_a_bundle_without_edge_graph_is_refused_with_what_to_do(built_page: Path, bundle: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Expected edge\.onnx in \S+; export the bundle with --edge"):
        build(built_page, bundle)


def test_a_page_without_its_model_says_so(page: Page) -> None:
    page.tab.tell("Network.setBlockedURLs", urls=["*edge.onnx"])
    page.tab.open(page.url)
    page.tab.wait("document.querySelector('#status').textContent.includes('could not be loaded')")


def pixels_in(page: Page, photo: Path) -> Pixels:
    """What ``photo.mjs`` makes of a photo."""
    data = base64.b64encode(photo.read_bytes()).decode()
    width, height, text = json.loads(page.tab.run(READ_PHOTO.format(data=data)))
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 3)
